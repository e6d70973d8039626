"""Stage evaluate on SAEs whose scores are known: a perfect one and a dead one."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from interpsweep.activations.artifact import LEFT_OUT
from interpsweep.config.inference import EvaluateSettings
from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.saes import evaluate
from interpsweep.saes.artifact import write_dictionary
from interpsweep.saes.measurement import Measurement
from interpsweep.tables import read_json, read_parquet
from saes_world import D_IN, Made, make_model, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


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
        inputs = {
            "sae": sae,
            "model": model,
            **{r: world[r] for r in ("corpus", "activations", "masks")},
        }
        one = {**spec, "inputs": {**spec["inputs"], "sae": name}}
        items.append(Made(tmp_path / f"item-{name}", one, inputs))
    evaluate.run(items, Context())
    scores = {item.out.name[5:]: read_json(item.out / "metrics.json") for item in items}
    assert {s["tokens"] for s in scores.values()} == {70}
    assert {s["loss_tokens"] for s in scores.values()} == {5 * 15}  # a token from a token
    assert scores["perfect"]["explained_variance.v2"] == pytest.approx(1)
    assert scores["perfect"]["ce_recovered.v2"] == pytest.approx(1, abs=1e-4)
    assert scores["perfect"]["kl_recovered.v2"] == pytest.approx(1, abs=1e-4)
    assert scores["perfect"]["l0.v2"] == pytest.approx(D_IN)
    assert scores["dead"]["ce_recovered.v2"] == pytest.approx(0, abs=1e-6)
    assert scores["dead"]["kl_recovered.v2"] == pytest.approx(0, abs=1e-6)
    assert scores["dead"]["dead_fraction.v2"] == 1
    assert scores["shrunk"]["l2_ratio.v2"] == pytest.approx(0.8)
    assert 0 < scores["shrunk"]["kl_recovered.v2"] < 1
    x = world["x"][55 * 16 : 55 * 16 + 70].astype(np.float64)
    variance = ((x - x.mean(0)) ** 2).sum()
    expected = 1 - 0.04 * (x**2).sum() / variance
    assert scores["shrunk"]["explained_variance.v2"] == pytest.approx(expected, rel=1e-5)
    density = read_parquet(tmp_path / "item-perfect" / "latents.parquet")
    np.testing.assert_array_equal(density["n_fired"][:D_IN], (x > 0).sum(0))

    # rows of the identity and their opposites: no two alike, encoder and decoder the same
    assert scores["perfect"]["nearest_cosine_q50.v2"] == 0
    assert scores["perfect"]["duplicate_fraction.v2"] == 0
    assert scores["perfect"]["encoder_decoder_cosine.v2"] == pytest.approx(1)
    assert scores["dead"]["nearest_cosine_q50.v2"] is None
    assert scores["shrunk"]["explained_variance_rescaled.v2"] == pytest.approx(1)
    assert scores["shrunk"]["centred_scale.v2"] == pytest.approx(1.25)
    assert scores["perfect"]["training_dead_window"] is None
    positions = read_parquet(tmp_path / "item-shrunk" / "positions.parquet")
    assert positions["position_first"].tolist() == list(range(1, 17))  # 0 is the mark
    of = np.arange(70) % 16 == 4
    error = 0.04 * (x[of] ** 2).sum() / ((x[of] - x.mean(0)) ** 2).sum()
    assert positions["fvu"][4] == pytest.approx(error, rel=1e-5)
    norms = read_parquet(tmp_path / "item-shrunk" / "norms.parquet")
    assert norms["tokens"].tolist() == [7] * 10 and norms["mse"].is_monotonic_increasing


def test_an_sae_with_infinite_reconstructions_is_named_and_the_others_go_on(tmp_path, world, model):
    saes(tmp_path)
    both = np.concatenate([np.eye(D_IN), -np.eye(D_IN)])
    huge = {"W_enc": 1e30 * both.T, "W_dec": 1e30 * both}
    zeros = {"b_enc": np.zeros(2 * D_IN), "b_dec": np.zeros(D_IN)}
    write_dictionary(tmp_path / "huge", "standard", huge | zeros)
    settings = EvaluateSettings(contexts=0, rows=70).identity() | {"site": "blocks.0.hook_mlp_out"}
    items = []
    for name in ("huge", "shrunk"):
        inputs = {
            "sae": tmp_path / name,
            **{r: world[r] for r in ("corpus", "activations", "masks")},
        }
        spec = {"settings": {**settings, "model": {}}, "inputs": {"sae": name}}
        items.append(Made(tmp_path / f"item-{name}", spec, inputs))
    row = 55 * 16
    with pytest.raises(UserError, match=rf"huge.*70 of rows {row}\.\.{row + 70} .*row {row}\)"):
        evaluate.run(items, Context())
    assert items[0].metrics is None
    assert items[1].metrics["l2_ratio.v2"] == pytest.approx(0.8)


def test_alone_is_as_in_company(tmp_path, world, model):
    settings = EvaluateSettings(contexts=5, rows=70)
    made = saes(tmp_path)
    contents = []
    for names in (["perfect", "shrunk"], ["shrunk"]):
        items = []
        for name in names:
            inputs = {"sae": made[name], "model": model}
            inputs |= {r: world[r] for r in ("corpus", "activations", "masks")}
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


def test_out_of_memory_halves_the_batches_of_the_loss(tmp_path, world, model, monkeypatch):
    """What was measured of a batch before it failed is not counted twice."""
    settings = EvaluateSettings(contexts=5, batch_tokens=40, rows=70)
    place = {"site": "blocks.0.hook_resid_post", "model": {"source": "trained"}}
    spec = {"settings": {**settings.identity(), **place}, "inputs": {}}
    given = {"model": model, **{role: world[role] for role in ("corpus", "activations", "masks")}}
    found = saes(tmp_path)

    def scores(folder: str, ctx: Context) -> dict:
        (tmp_path / folder).mkdir()
        made = {n: Made(tmp_path / folder / n, spec, {"sae": found[n], **given}) for n in found}
        evaluate.run(list(made.values()), ctx)
        return {name: read_json(item.out / "metrics.json") for name, item in made.items()}

    plain, real, calls = scores("plain", Context()), Measurement.splice, []

    def small(self, passes):
        calls.append(len(passes.kept))
        if len(passes.kept) > 1 and len(calls) > 1:  # the first SAE has been through
            raise torch.OutOfMemoryError("no room")
        return real(self, passes)

    monkeypatch.setattr(Measurement, "splice", small)
    ctx = Context()
    halved = scores("halved", ctx)
    assert ctx.record_["batch_halvings"] == 1
    for name, expected in plain.items():
        for metric in ("loss_tokens", "ce_clean.v2", "ce_ablated.v2", "ce_sae.v2", "kl_sae.v2"):
            assert halved[name][metric] == pytest.approx(expected[metric], rel=1e-4, abs=1e-6)


def test_rows_left_out_are_not_judged_nor_replaced(tmp_path, world, model):
    """Measurement with and without them; the loss keeps what the model itself has there."""
    settings = EvaluateSettings(contexts=5, batch_tokens=40, rows=70)
    place = {"site": "blocks.0.hook_resid_post", "model": {"source": "trained"}}
    spec = {"settings": {**settings.identity(), **place}, "inputs": {"sae": "dead"}}
    found, (first, last) = saes(tmp_path), (55 * 16, 60 * 16)
    scores = {}
    for name, gone in (
        ("some", np.arange(first + 3, last, 4)),
        ("most", np.arange(first + 1, last)),
    ):
        shutil.copytree(world["activations"], tmp_path / f"mask-{name}")
        arrays = {"row": gone, "token": world["flat"][gone]}
        save_file(arrays, tmp_path / f"mask-{name}" / LEFT_OUT)
        inputs = {"sae": found["dead" if name == "most" else "shrunk"], "model": model}
        inputs |= {r: world[r] for r in ("corpus", "activations")}
        made = Made(tmp_path / name, spec, {**inputs, "masks": [tmp_path / f"mask-{name}"]})
        evaluate.run([made], Context())
        scores[name] = read_json(made.out / "metrics.json")
    some = scores["some"]
    kept = np.setdiff1d(np.arange(first, last), np.arange(first + 3, last, 4))
    assert (some["tokens"], some["left_out_tokens"]) == (
        len(kept),
        80 - len(kept) - 1,
    )  # last: gone
    every = np.arange(first, last - 1)
    for rows, key in ((kept, "explained_variance.v2"), (every, "explained_variance_all_rows.v2")):
        x = world["x"][rows].astype(np.float64)
        expected = 1 - 0.04 * (x**2).sum() / ((x - x.mean(0)) ** 2).sum()
        assert some[key] == pytest.approx(expected, rel=1e-5)
    # an SAE that returns nothing, in place of one token only
    most = scores["most"]
    assert most["ce_sae.v2"] == pytest.approx(most["ce_ablated.v2"])
    assert most["ce_sae.v2"] != most["ce_clean.v2"]
    assert most["loss_tokens"] == 5 * 15
