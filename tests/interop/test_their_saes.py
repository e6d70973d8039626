"""SAEs written by the other packages' own code compute here what they compute there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from foreign_saes import bring
from interop.conftest import TOLERANCE
from saes_world import make_world

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
        x = torch.from_numpy(theirs["x"])
        acts, out = sae.encode(x).numpy(), sae.reconstruct(x).numpy()
        assert (theirs["acts"] > 0).any(), folder.name
        np.testing.assert_array_equal(acts > 0, theirs["acts"] > 0, err_msg=folder.name)
        for ours, expected in ((acts, theirs["acts"]), (out, theirs["out"])):
            np.testing.assert_allclose(
                ours, expected, atol=TOLERANCE, rtol=TOLERANCE, err_msg=folder.name
            )
