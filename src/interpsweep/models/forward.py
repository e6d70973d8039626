"""Forward passes: logits, activations of sites, both with a site's replaced, and gradients.

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
    _check_replaceable(model, site)

    def splice(activations: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        flat = activations.flatten(2)
        return replace(flat).to(activations.dtype).reshape(activations.shape)

    with model.hooked({site: splice}):
        return model.bridge(tokens.to(model.device), return_type="logits")


def forward_gradient(
    model: LoadedModel,
    tokens: torch.Tensor,
    places: torch.Tensor,
    site: str,
    shift: torch.Tensor,
    later: str,
    weights: torch.Tensor,
) -> torch.Tensor:
    """Gradient of ``weights @ (activations of later)`` by those of `site`, at one place a context.

    `tokens` (batch, length) and `places` (batch,) int64; `shift` (batch, width) is taken away from
    the activations of `site` at the places, which leaves the rest of the context as it is;
    `weights` (width of later,). Returns (batch, width of site). The pass stops at `later`. Raises
    ValueError if the site cannot be replaced, or `later` is not reached from it.
    """
    _check_replaceable(model, site)
    rows = torch.arange(len(tokens), device=model.device)
    points: list[torch.Tensor] = []
    values: list[torch.Tensor] = []

    def splice(activations: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        flat = activations.detach().flatten(2)
        points.append((flat[rows, places] - shift.to(flat.dtype)).requires_grad_())
        return flat.index_put((rows, places), points[0]).reshape(activations.shape)

    def look(activations: torch.Tensor, hook: HookPoint) -> None:
        values.append(activations.flatten(2)[rows, places].float() @ weights)
        raise StopAtLayerException(activations)

    with torch.enable_grad(), model.hooked({site: splice, later: look}):
        model.bridge(tokens.to(model.device), return_type=None)
        if not points or not values or not values[0].requires_grad:
            raise ValueError(f"{later} does not follow from {site} in a forward pass")
        return torch.autograd.grad(values[0].sum(), points[0])[0]


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


def _check_replaceable(model: LoadedModel, site: str) -> None:
    if not model.replaceable(site):
        raise ValueError(f"{site}: the skip connection goes around this hook; see `replaceable`")
