"""SAELens opens every SAE that we train, and computes the same with it."""

from __future__ import annotations

import json

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

SPARSITY = {"relu": 0.02, "gated": 0.02}
HOOK_Z = "blocks.0.attn.hook_z"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, peers):
    """Folder of a trained SAE of each architecture, opened by SAELens on the rows of x."""
    root = tmp_path_factory.mktemp("exports")
    world = make_world(root)
    inputs = {"activations": world["activations"], "corpus": world["corpus"]}
    items = []
    for name in ARCHITECTURES:
        settings = TrainSettings(
            architecture=name,
            d_sae=24,
            sparsity=SPARSITY.get(name, 3),
            tokens=20_000,
            batch_size=64,
        )
        items.append(Made(root / name, {"settings": settings.identity()}, inputs))
    train.run(items, Context(device="cpu"))
    save_file({"x": world["x"][:100]}, root / "x.safetensors")
    other = Dictionary.open(root / "topk")  # the same weights, as if trained on a hook_z
    extra = {"reshape_activations": reshaping(HOOK_Z)}
    about = {**other.cfg["metadata"], "hook_name": HOOK_Z}
    write_dictionary(root / "by head", "topk", other.tensors, k=3, metadata=about, extra=extra)
    peers("read", root / "x.safetensors", *(root / name for name in (*ARCHITECTURES, "by head")))
    return root, torch.from_numpy(world["x"][:100])


@pytest.mark.parametrize("name", [*ARCHITECTURES, "by head"])
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
