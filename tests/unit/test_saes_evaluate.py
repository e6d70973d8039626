"""Stage evaluate on SAEs whose scores are known: a perfect one and a dead one."""

from __future__ import annotations

import numpy as np
import pytest
from saes_world import D_IN, Made, make_world

from interpsweep.config.models import Architecture
from interpsweep.config.saes import EvaluateSettings
from interpsweep.context import Context
from interpsweep.models import native
from interpsweep.saes import evaluate
from interpsweep.saes.artifact import write_dictionary
from interpsweep.tables import read_json, read_parquet


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    architecture = Architecture(n_layers=2, d_model=D_IN, n_heads=2, d_mlp=24, n_ctx=20)
    config = native.native_config(architecture, 30, 0)
    module = native.build(config)
    for parameter in module.parameters():  # far from uniform predictions
        parameter.data *= 4
    native.save(module, config, ["w"] * 30, folder)
    return folder


def saes(root):
    """Directories of an SAE that returns its input, one that returns zero, one in between."""
    both = np.concatenate([np.eye(D_IN), -np.eye(D_IN)])
    zeros = {"b_enc": np.zeros(2 * D_IN), "b_dec": np.zeros(D_IN)}
    perfect = {"W_enc": both.T, "W_dec": both, **zeros}
    tensors = {
        "perfect": perfect,
        "dead": perfect | {"b_enc": np.full(2 * D_IN, -1e6)},
        "shrunk": perfect | {"W_dec": 0.8 * both},
    }
    for name, arrays in tensors.items():
        write_dictionary(root / name, "standard", arrays)
    return {name: root / name for name in tensors}


def test_known_scores(tmp_path, world, model):
    settings = EvaluateSettings(contexts=5, batch_tokens=40, rows=70)
    spec = {
        "settings": {
            **settings.identity(),
            "site": "blocks.0.hook_resid_post",
            "model": {"source": "trained"},
        },
        "inputs": {"model": "m", "corpus": "c", "activations": "a"},
    }
    items = []
    for name, sae in saes(tmp_path).items():
        inputs = {"sae": sae, "model": model, **{r: world[r] for r in ("corpus", "activations")}}
        one = {**spec, "inputs": {**spec["inputs"], "sae": name}}
        items.append(Made(tmp_path / f"item-{name}", one, inputs))
    evaluate.run(items, Context())
    scores = {item.out.name[5:]: read_json(item.out / "metrics.json") for item in items}
    assert {s["tokens"] for s in scores.values()} == {70}
    assert {s["loss_tokens"] for s in scores.values()} == {5 * 15}  # a token from a token
    assert scores["perfect"]["explained_variance.v1"] == pytest.approx(1)
    assert scores["perfect"]["ce_recovered.v1"] == pytest.approx(1, abs=1e-4)
    assert scores["perfect"]["kl_recovered.v1"] == pytest.approx(1, abs=1e-4)
    assert scores["perfect"]["l0.v1"] == pytest.approx(D_IN)
    assert scores["dead"]["ce_recovered.v1"] == pytest.approx(0, abs=1e-6)
    assert scores["dead"]["kl_recovered.v1"] == pytest.approx(0, abs=1e-6)
    assert scores["dead"]["dead_fraction.v1"] == 1
    assert scores["shrunk"]["l2_ratio.v1"] == pytest.approx(0.8)
    assert 0 < scores["shrunk"]["kl_recovered.v1"] < 1
    x = world["x"][55 * 16 : 55 * 16 + 70].astype(np.float64)
    variance = ((x - x.mean(0)) ** 2).sum()
    expected = 1 - 0.04 * (x**2).sum() / variance
    assert scores["shrunk"]["explained_variance.v1"] == pytest.approx(expected, rel=1e-5)
    density = read_parquet(tmp_path / "item-perfect" / "density.parquet")
    np.testing.assert_array_equal(density["n_fired"][:D_IN], (x > 0).sum(0))
    # folded: activations times decoder norms
    folded = read_parquet(tmp_path / "item-shrunk" / "density.parquet")["mean_activation"]
    np.testing.assert_allclose(folded, 0.8 * density["mean_activation"], rtol=1e-5)


def test_alone_is_as_in_company(tmp_path, world, model):
    settings = EvaluateSettings(contexts=5, rows=70)
    made = saes(tmp_path)
    contents = []
    for names in (["perfect", "shrunk"], ["shrunk"]):
        items = []
        for name in names:
            inputs = {"sae": made[name], "model": model}
            inputs |= {r: world[r] for r in ("corpus", "activations")}
            spec = {
                "settings": {
                    **settings.identity(), "site": "blocks.1.hook_mlp_out",
                    "model": {"source": "trained"},
                },
                "inputs": {"sae": name},
            }  # fmt: skip
            items.append(Made(tmp_path / f"{len(names)}-{name}", spec, inputs))
        evaluate.run(items, Context())
        contents.append((items[-1].out / "metrics.json").read_bytes())
    assert contents[0] == contents[1]
