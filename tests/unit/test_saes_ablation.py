"""Absorption by ablation: the arithmetic, planted absorption, and gradients through a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from scipy.sparse import csr_matrix

from absorption_world import S, probes_of, world
from interpsweep.config.probes import ProbesSettings
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.models.forward import forward_sites
from interpsweep.models.load import load_model
from interpsweep.saes import probe as stage
from interpsweep.saes.ablation import absorbers, costs, integrated_gradients
from interpsweep.saes.absorption import main_latents, random_concepts, silent
from interpsweep.saes.artifact import write_dictionary
from interpsweep.saes.codes import CodesWriter
from interpsweep.saes.concept_samples import Judges, judges_of
from interpsweep.saes.downstream import Downstream
from interpsweep.saes.linear import one_vs_rest
from interpsweep.tables import read_json, read_parquet, write_json
from saes_world import D_IN, LENGTH, Made, activations_like, make_model, make_world

HERE, LATER = "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"


# ------------------------------------------------------------------------------ arithmetic


def curved(x: np.ndarray) -> np.ndarray:
    """A metric (m,) that is not linear, of activations (m, 3)."""
    return np.tanh(x[:, 0] * x[:, 1]) + x[:, 2] ** 2


def slope(x: np.ndarray) -> np.ndarray:
    outer = 1 / np.cosh(x[:, 0] * x[:, 1]) ** 2
    return np.stack([outer * x[:, 1], outer * x[:, 0], 2 * x[:, 2]], axis=1)


def test_attributions_add_up_to_what_all_latents_are_worth() -> None:
    rng = np.random.default_rng(0)
    x, decoder = rng.standard_normal((5, 3)), rng.standard_normal((7, 3))
    codes = csr_matrix(np.maximum(rng.standard_normal((5, 7)), 0))
    carried = codes @ decoder
    worth = curved(x) - curved(x - carried)
    found = {}
    for steps in (6, 4000):
        mean = integrated_gradients(lambda shift: slope(x - shift), carried, steps)
        found[steps] = np.asarray(costs(codes, decoder, mean).sum(axis=1)).ravel()
    np.testing.assert_allclose(found[4000], worth, atol=5e-3)
    # the left sum of the paper: at 0, 1/6 .. 5/6 of the way to zero
    points = [slope(x - carried * i / 6) for i in range(6)]
    np.testing.assert_allclose(found[6], (np.mean(points, axis=0) * carried).sum(axis=1))
    assert np.abs(found[6] - worth).max() > 0.05


def test_one_latent_must_cost_more_than_any_other() -> None:
    cosine = np.array([0.5, 0.01, 0.2])
    cost = csr_matrix(
        np.array(
            [
                [0.6, 0, 0.35],  # by .25
                [0.6, 0, 0.45],  # by .15
                [0.3, 0, -3.0],  # what ablation of others gains is no runner-up
                [0, 1.5, 0],  # not towards the probe
                [-2.0, 0, -0.5],  # nobody costs anything
                [0.1, 0, 0],
                [0, 0, 0],
                [0.3, 0.2, 1.6],
            ]
        )
    )
    assert absorbers(cost, cosine, S).tolist() == [0, -1, 0, -1, -1, -1, -1, 2]
    loose = ProbesSettings(margin=0.0, top_cosine=0.0)
    assert absorbers(cost, cosine, loose).tolist() == [0, 0, 0, 1, -1, 0, -1, 2]


@pytest.mark.parametrize("absorbs", [True, False])
def test_planted_absorption_is_found_by_ablation(absorbs: bool) -> None:
    """Judged at the site itself, where the cost is activation times decoder row times probe."""
    w = world(absorbs)

    def ablated(true: np.ndarray, judges: Judges, k: int, most: int = S.most_main) -> Any:
        main = main_latents(w.codes, true, w.test, ProbesSettings(most_main=most)).latents
        right = np.flatnonzero(true & (judges.here.of(k, w.x) > 0))
        rows = right[silent(w.codes[right], main)]
        gradient = np.broadcast_to(judges.weights[k], (len(rows), w.x.shape[1]))
        cost = costs(w.codes[rows], w.decoder, gradient)
        found = absorbers(cost, w.decoder @ judges.here.directions()[k], S)
        return rows, found, np.sum(found >= 0) / len(right)

    parent = judges_of(probes_of(w), w.parent[:, None], w.x, w.x, w.test, S)
    rows, found, share = ablated(w.parent, parent, 0, most=1)
    if absorbs:
        assert len(rows) == np.sum(w.child >= 0)
        np.testing.assert_array_equal(found, w.child[rows])
    else:
        assert len(rows) < 5 and share < 0.01
    pairs = random_concepts(w.x, w.test, w.parent.mean(), 5, np.random.default_rng(1))
    true = pairs.chosen(pairs.towards(w.x)).true
    probes = one_vs_rest(w.x[~w.test], true[~w.test], S.ridge)
    chance = judges_of(probes, true, w.x, w.x, w.test, S)
    null = [ablated(true[:, k], chance, k)[2] for k in range(5)]
    assert np.max(null) < 0.02 and (share > np.max(null) + 0.35) == absorbs


# ------------------------------------------------------------------------------ through a model


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A corpus with a concept, an untrained model of two blocks, and what it does on the corpus."""
    root = tmp_path_factory.mktemp("small")
    made = make_world(root)
    folder = root / "model"
    folder.mkdir()
    made["model"] = make_model(folder, embedding=40)
    model = load_model({"source": "trained"}, made["model"], Context())
    tokens = torch.from_numpy(made["ids"].astype(np.int64)).reshape(-1, LENGTH)
    found = forward_sites(model, tokens, [HERE, LATER])
    for role, site in (("activations", HERE), ("later", LATER)):
        x = found[site].numpy().reshape(-1, D_IN)[made["flat"]]
        made[role] = activations_like(made["activations"], root / f"of-{role}", x, site)
        made[f"x_{role}"] = x.astype(np.float64)
    corpus, ids = made["corpus"], made["ids"]
    group = zarr.open_group(corpus / "tokens.zarr", mode="a")
    colour = np.where((ids > 0) & (ids <= 12), (ids - 1) // 4, -1).astype(np.int16)
    group.create_array("labels/colour", data=colour)
    concept = {"shape": "line", "values": ["red", "green", "blue"]}
    known = read_json(corpus / "corpus.json")
    write_json({**known, "concepts": {"colour": concept}}, corpus / "corpus.json")
    made["loaded"], made["colour"] = model, colour
    return made


def downstream(small: dict[str, Any], batch_tokens: int = 2048) -> Downstream:
    corpus = Corpus.open(small["corpus"])
    return Downstream(small["loaded"], HERE, LATER, corpus, batch_tokens, Context())


def test_gradients_are_those_of_the_later_site(small: dict[str, Any]) -> None:
    """Their integral is the difference that passes without gradients make."""
    rng = np.random.default_rng(0)
    tokens = small["flat"][[3, 40, 41, 700]]
    weights = rng.standard_normal(D_IN)
    carried = 0.5 * rng.standard_normal((4, D_IN))
    mean = downstream(small).gradients(tokens, weights, carried, 300)
    logits = [_logits(small, tokens, weights, share * carried) for share in (0, 1)]
    np.testing.assert_allclose((mean * carried).sum(axis=1), logits[0] - logits[1], rtol=0.03)
    assert np.abs(mean - weights).max() > 0.1  # a block lies between


def _logits(
    small: dict[str, Any], tokens: np.ndarray, weights: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    model, found = small["loaded"], []
    for token, taken in zip(tokens, shift, strict=True):
        context, place = divmod(int(token), LENGTH)
        ids = small["ids"].astype(np.int64).reshape(-1, LENGTH)[context : context + 1]

        def less(activations: Any, hook: Any, place: int = place, taken: Any = taken) -> Any:
            activations = activations.clone()
            activations[0, place] -= torch.tensor(taken, dtype=torch.float32)
            return activations

        with model.hooked({HERE: less}):
            after = forward_sites(model, torch.from_numpy(ids), [LATER])[LATER]
        found.append(float(after[0, place].double().numpy() @ weights))
    return np.array(found)


def test_gradients_do_not_depend_on_batches(small: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    tokens = rng.choice(small["flat"], 30, replace=False)
    weights, carried = rng.standard_normal(D_IN), rng.standard_normal((30, D_IN))
    together = downstream(small).gradients(tokens, weights, carried, 6)
    alone = downstream(small, batch_tokens=1).gradients(tokens, weights, carried, 6)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    order = rng.permutation(30)
    shuffled = downstream(small).gradients(tokens[order], weights, carried[order], 6)
    np.testing.assert_allclose(shuffled, together[order], rtol=1e-4, atol=1e-5)


def test_a_site_that_comes_before_is_refused(small: dict[str, Any]) -> None:
    wrong = Downstream(small["loaded"], LATER, HERE, Corpus.open(small["corpus"]), 2048, Context())
    with pytest.raises(ValueError, match="does not follow from"):
        wrong.gradients(small["flat"][:2], np.ones(D_IN), np.ones((2, D_IN)), 1)


# ------------------------------------------------------------------------------ the stage

RED = [1, 2, 3, 4]  # tokens
SETTINGS = ProbesSettings(methods=("projection", "ablation"), min_tokens=10, draws=3, most_main=1)


def probe(small: dict[str, Any], root: Path, absorbs: bool, later: bool = True) -> Made:
    """Latents 0..2 are the colours, 3 the red token 2, which silences red where it absorbs it."""
    ids, colour = small["ids"][small["flat"]], small["colour"][small["flat"]]
    x = small["x_activations"]
    centre = x.mean(axis=0)
    rows = [x[colour == c].mean(axis=0) - centre for c in range(3)]
    rows.append(x[ids == 2].mean(axis=0) - centre)
    decoder = np.array(rows)
    norms = np.linalg.norm(decoder, axis=1)
    decoder /= norms[:, None]
    active = np.column_stack([colour == c for c in range(3)] + [ids == 2]).astype(float)
    active[ids == 2, 0 if absorbs else 3] = 0
    root.mkdir()
    tensors = {"W_enc": decoder.T, "W_dec": decoder, "b_enc": np.zeros(4), "b_dec": centre}
    write_dictionary(root / "sae", "standard", tensors)
    part = csr_matrix(active[640:880] * norms)
    (root / "codes").mkdir()
    writer = CodesWriter(root / "codes", (640, 880), 4, [part.nnz], 0)
    writer.append(part, small["flat"][640:880])
    writer.close()
    inputs = {
        r: small[r]
        for r in ("corpus", "activations", "masks", *(("later", "model") if later else ()))
    }
    place = {
        "site": HERE,
        **({"later_site": LATER, "model": {"source": "trained"}} if later else {}),
    }
    spec = {"settings": {**SETTINGS.identity(), **place}}
    item = Made(root / "item", spec, {**inputs, "sae": root / "sae", "codes": root / "codes"})
    stage.run([item], Context())
    return item


@pytest.mark.parametrize("later", [True, False])
def test_a_token_that_absorbs_its_value_is_found(
    small: dict[str, Any], tmp_path: Path, later: bool
) -> None:
    absorbed = probe(small, tmp_path / "absorbed", absorbs=True, later=later)
    values = read_parquet(absorbed.out / "values.parquet").set_index("label")
    assert set(values["judge"]) == {LATER if later else HERE}
    assert (values["judge_f1"] > 0.6).all() and values["counts"].all()
    red = values.loc["red"]
    ids = small["ids"][small["flat"]][640:880]
    assert red["main"] == 1 and red["latents"] == "0"
    assert 0 < red["silent"] <= np.sum(ids == 2)
    assert red["attributed"] == red["silent"]
    assert red["ablated"] > 0.8 * red["silent"] / red["true_positives"]
    assert 0 < red["full"] <= red["silent"] / red["true_positives"]
    assert values.loc[["green", "blue"], "ablated"].max() == 0
    rows = read_parquet(absorbed.out / "absorbers.parquet")
    ablated = rows[rows["method"] == "ablation"]
    assert ablated["feature"].tolist() == [3] and ablated["common"].tolist() == ["w2"]
    assert int(ablated["tokens"].iloc[0]) == round(red["ablated"] * red["true_positives"])
    assert absorbed.metrics["ablated"] == pytest.approx(values["ablated"].mean())
    again = probe(small, tmp_path / "again", absorbs=True, later=later)
    assert read_parquet(again.out / "values.parquet").set_index("label").equals(values)


def test_without_absorption_there_is_none(small: dict[str, Any], tmp_path: Path) -> None:
    values = read_parquet(probe(small, tmp_path / "plain", absorbs=False).out / "values.parquet")
    assert values["ablated"].tolist() == [0, 0, 0]
    assert values["full"].tolist() == [0, 0, 0]
