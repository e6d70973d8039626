"""SAELens opens every SAE that we train, and computes the same with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from interop.conftest import TOLERANCE
from interpsweep.config.saes import ARCHITECTURES, TrainSettings
from interpsweep.context import Context
from interpsweep.saes import train
from interpsweep.saes.artifact import Dictionary, write_dictionary
from interpsweep.saes.describe import reshaping
from interpsweep.saes.load import load
from saes_world import Made, make_world

HOOK_Z = "blocks.0.attn.hook_z"
# SAELens has a format of its own for these transcoders, of the architectures behind the names
TRANSCODERS = {f"{name} transcoder": name for name in ("relu", "jumprelu", "batchtopk")}
ALL = (*ARCHITECTURES, *TRANSCODERS, "by head")


def item(root: Path, world: dict, name: str) -> Made:
    architecture = TRANSCODERS.get(name, name)
    output = "blocks.0.hook_out" if name in TRANSCODERS else None
    settings = TrainSettings(
        architecture=architecture, d_sae=24, tokens=20_000, batch_size=64, output_site=output,
        sparsity=0.02 if architecture in ("relu", "gated") else 3,
    )  # fmt: skip
    roles = ("activations", "corpus", *(("targets",) if output else ()))
    inputs = {role: world[role] for role in roles}
    return Made(root / name, {"settings": settings.identity()}, inputs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, peers):
    """Folder of a trained SAE of each architecture, opened by SAELens on the rows of x."""
    root = tmp_path_factory.mktemp("exports")
    world = make_world(root)
    items = [item(root, world, name) for name in (*ARCHITECTURES, *TRANSCODERS)]
    train.run(items, Context(device="cpu"))
    save_file({"x": world["x"][:100]}, root / "x.safetensors")
    other = Dictionary.open(root / "topk")  # the same weights, as if trained on a hook_z
    extra = {"reshape_activations": reshaping(HOOK_Z)}
    about = {**other.cfg["metadata"], "hook_name": HOOK_Z}
    write_dictionary(root / "by head", "topk", other.tensors, k=3, metadata=about, extra=extra)
    peers("read", root / "x.safetensors", *(root / name for name in ALL))
    return root, torch.from_numpy(world["x"][:100])


@pytest.mark.parametrize("name", ALL)
def test_saelens_computes_the_same(trained, name: str) -> None:
    root, x = trained
    theirs, ours = load_file(root / name / "read.safetensors"), load(root / name)
    acts = ours.encode(x)
    assert 0.5 < (acts > 0).sum(1).double().mean() < 23
    np.testing.assert_allclose(theirs["acts"], acts.numpy(), atol=TOLERANCE, rtol=TOLERANCE)
    out = ours.reconstruct(x).numpy()
    np.testing.assert_allclose(theirs["out"], out, atol=TOLERANCE, rtol=TOLERANCE)
    np.testing.assert_array_equal(theirs["acts"] > 0, acts.numpy() > 0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_saelens_understands_where_it_comes_from(trained, name: str) -> None:
    with safe_open(trained[0] / name / "read.safetensors", framework="np") as file:
        cfg = json.loads(file.metadata()["cfg"])
    about = cfg["metadata"]
    assert about["hook_name"] == "blocks.0.hook" and about["training_architecture"] == name
    assert about["prepend_bos"] is True and about["context_size"] == 17
    assert about["l0"] > 0 and 0 <= about["num_dead_features"] <= 24
