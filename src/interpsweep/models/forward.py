"""Forward passes: logits, the activations of sites, and logits with a site's activations replaced.

Floating-point results depend on the shape of a batch, so callers make batches that are a pure
function of the corpus and of their settings (`length_batches`). Nothing is ever padded: what shares
a batch has one length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge.exceptions import StopAtLayerException

from interpsweep.models.load import LoadedModel

Replace = Callable[[torch.Tensor], torch.Tensor]


@torch.inference_mode()
def forward_logits(model: LoadedModel, tokens: torch.Tensor) -> torch.Tensor:
    """Logits (batch, length, vocabulary) of tokens (batch, length)."""
    return model.bridge(tokens.to(model.device), return_type="logits")


@torch.inference_mode()
def forward_with_replacement(
    model: LoadedModel, tokens: torch.Tensor, site: str, replace: Replace
) -> torch.Tensor:
    """Logits when the activations of `site` are replaced by ``replace(activations)``.

    `replace` gets (batch, length, width) with heads flattened, and returns the same shape.
    Raises ValueError if the site cannot be replaced (`LoadedModel.replaceable`).
    """
    if not model.replaceable(site):
        raise ValueError(f"{site}: the skip connection goes around this hook; see `replaceable`")

    def splice(activations: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        flat = activations.flatten(2)
        return replace(flat).to(activations.dtype).reshape(activations.shape)

    with model.hooked({site: splice}):
        return model.bridge(tokens.to(model.device), return_type="logits")


@torch.inference_mode()
def forward_sites(
    model: LoadedModel,
    tokens: torch.Tensor,
    sites: Sequence[str],
    keep: Callable[[str, torch.Tensor], Any] = lambda _site, activations: activations.clone(),
) -> dict[str, Any]:
    """What ``keep(site, activations)`` makes of each site's activations (batch, length, width).

    Heads are flattened. `keep` runs in the middle of the pass and must copy what it wants: later
    code may change the residual stream in place. By default the activations themselves are kept.
    The pass stops as soon as the last site has been seen: what follows it costs nothing.
    """
    found: dict[str, Any] = {}

    def looker(site: str) -> Callable[[torch.Tensor, HookPoint], None]:
        def look(activations: torch.Tensor, hook: HookPoint) -> None:
            found[site] = keep(site, activations.flatten(2))
            if len(found) == len(sites):
                raise StopAtLayerException(activations)

        return look

    with model.hooked({site: looker(site) for site in sites}):
        model.bridge(tokens.to(model.device), return_type=None)
    missing = [site for site in sites if site not in found]
    if missing:
        raise ValueError(f"hooks {missing} did not fire")
    return found
