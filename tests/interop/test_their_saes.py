"""SAEs written by the other packages' own code compute here what they compute there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import foreign_saes as foreign
from foreign_saes import D_SAE, bring
from interop.conftest import TOLERANCE
from saes_world import D_IN, make_world

PACKAGES = {"saelens": 36, "dictionary_learning": 7, "sparsify": 3}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("package", PACKAGES)
def test_their_saes_compute_the_same_here(world, tmp_path: Path, peers, package: str) -> None:
    peers("write", package, tmp_path / "theirs")
    folders = sorted((tmp_path / "theirs").iterdir())
    assert len(folders) == PACKAGES[package]
    for folder in folders:
        theirs = load_file(folder / "expected.safetensors")
        sae = bring(world, folder, tmp_path / "ours" / folder.name, format=package)
        agree(sae, theirs, folder.name)


def agree(sae, theirs: dict[str, np.ndarray], name: str) -> None:
    x = torch.from_numpy(theirs["x"])
    acts, out = sae.encode(x).numpy(), sae.reconstruct(x).numpy()
    assert (theirs["acts"] > 0).any(), name
    np.testing.assert_array_equal(acts > 0, theirs["acts"] > 0, err_msg=name)
    for ours, expected in ((acts, theirs["acts"]), (out, theirs["out"])):
        np.testing.assert_allclose(ours, expected, atol=TOLERANCE, rtol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("by_norm", [True, False])
@pytest.mark.parametrize("format_", ["gemma_scope_2", "llama_scope"])
def test_collections_compute_what_saelens_makes_of_them(
    world, tmp_path: Path, peers, format_: str, by_norm: bool
) -> None:
    """Folders in their layouts, as SAELens' own loaders read them.

    It leaves decoder norms out of Llama Scope's choice of latents, so they are 1 here.
    """
    folder = tmp_path / "resid_post_layer_0_width_16k_l0_small"
    t = foreign.base(D_IN)
    t["W_dec"] /= np.linalg.norm(t["W_dec"], axis=1, keepdims=True)
    if format_ == "llama_scope":
        foreign.write_llama_scope(folder, t, sparsity_include_decoder_norm=by_norm)
    else:
        threshold = np.abs(foreign.random(D_SAE, seed=5))
        foreign.write_gemma_scope_2(folder, {**t, "threshold": threshold})
    peers("load", format_, folder)
    theirs = load_file(folder / "expected.safetensors")
    sae = bring(world, folder, tmp_path / "o", check_hook=False)
    # theirs are in units of a decoder that took the scale of activations over
    scaled = format_ == "llama_scope" and by_norm
    theirs["acts"] /= np.sqrt(D_IN) / foreign.MEAN_NORM if scaled else 1
    agree(sae, theirs, format_)
