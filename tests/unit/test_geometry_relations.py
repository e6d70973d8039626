"""Relations of labelled concepts: parallel offsets, analogies, and what must not pass for them."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom

from benchmark_scripts import benchmark
from interpsweep.activations import capture
from interpsweep.claims.claims import concept_relations
from interpsweep.config.corpora import LanguageSettings
from interpsweep.config.models import Architecture
from interpsweep.context import Context
from interpsweep.corpora import build
from interpsweep.errors import UserError
from interpsweep.geometry import analogies, class_means, concepts, relations
from interpsweep.models import native
from interpsweep.sources import Source
from interpsweep.worlds import language

worlds = benchmark("analogies")
RUNS, DRAWS = 60, 99
# rejections at .05 that a test of the right size exceeds once in ten thousand
MOST = int(binom.ppf(1 - 1e-4, RUNS, 0.05))


def rejections(make: Any, many: int = 6, white: bool = False) -> dict[str, int]:
    found = worlds.shares(make, many, 3, white, RUNS, DRAWS)
    return {test: round(RUNS * share) for test, share in found.items()}


@pytest.mark.parametrize("make", worlds.NOTHING, ids=lambda make: make.__name__)
def test_neither_nearness_nor_a_common_offset_is_an_analogy(make: Any) -> None:
    found = rejections(make)
    assert found["parallel"] <= MOST and found["gain"] <= MOST
    if "near" not in make.__name__:  # orthogonality knows the parents of children that are near
        assert found["orthogonality"] <= MOST
    assert found["siblings"] <= MOST


def test_one_null_alone_takes_nearness_or_an_offset_for_a_parallelogram() -> None:
    """What the pair of nulls is for: each of the traps deceives one of them."""
    rng = np.random.default_rng(0)
    near = analogies.compact(worlds.family(worlds.near, 6, 3, rng))
    offset = analogies.compact(worlds.family(worlds.offset, 6, 3, rng))
    at = [analogies.score(near).parallel, analogies.score(offset).parallel]
    shuffled = [analogies.shuffles(world, 999, rng) for world in (near, offset)]
    mirrored = [analogies.reflections(world, 999, rng) for world in (near, offset)]
    assert shuffled[0].p(at[0], "parallel") < 0.01 < 0.05 < mirrored[0].p(at[0], "parallel")
    assert mirrored[1].p(at[1], "parallel") < 0.05 < shuffled[1].p(at[1], "parallel")


@pytest.mark.parametrize("white", [False, True])
def test_planted_parallelograms_are_found(white: bool) -> None:
    found = rejections(worlds.clear, 8, white)
    assert found["parallel"] >= 0.95 * RUNS
    # whitening makes noise as long as what the values share: mirrored families gain as well
    assert found["gain"] >= (0.5 if white else 0.95) * RUNS


def test_orthogonal_children_are_nested_and_others_are_not() -> None:
    rng = np.random.default_rng(3)
    parents = np.eye(5, 40) * 3
    parent = np.repeat(np.arange(5), 2)
    apart = np.zeros((10, 40))
    apart[np.arange(10), 10 + np.arange(10)] = 1
    nested = analogies.measure(analogies.Family(parents, parents[parent] + apart, parent), 199, rng)
    assert abs(nested["orthogonality"]) < 1e-9 and nested["orthogonality_p"] == pytest.approx(
        1 / 120
    )
    towards = analogies.Family(parents, 1.4 * parents[parent] + 0.1 * apart, parent)
    assert analogies.score(towards).orthogonality > 0.8


def by_hand(family: analogies.Family) -> dict[str, float]:
    """The scores by loops over questions and vectors."""
    points = np.vstack([family.parents, family.children])
    points = points - points.mean(axis=0)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    many, right, asked = len(family.parents), dict.fromkeys(("add", "open", "mul", "c", "b"), 0), 0
    for i, j in product(range(len(family.children)), repeat=2):
        b, goal = family.parent[i], family.parent[j]
        if b == goal:
            continue
        asked += 1
        a, c = many + i, many + j
        cos = {key: points @ points[at] for key, at in (("a", a), ("b", b), ("c", c))}
        total = cos["b"] - cos["a"] + cos["c"]
        kept = np.setdiff1d(np.arange(len(points)), [a, b, c])
        shifted = {key: (1 + value) / 2 for key, value in cos.items()}
        ratio = shifted["b"] * shifted["c"] / (shifted["a"] + 0.001)
        for name, value in (("add", total), ("mul", ratio), ("c", cos["c"]), ("b", cos["b"])):
            right[name] += kept[np.argmax(value[kept])] == goal
        right["open"] += int(np.argmax(total)) == goal
    return {name: count / asked for name, count in right.items()}


def test_answers_are_those_of_the_definitions() -> None:
    family = worlds.family(worlds.random, 5, 3, np.random.default_rng(8))
    family = family._replace(children=family.children + family.parents[family.parent] / 2 + 0.3)
    found, wanted = analogies.score(analogies.compact(family), every=True), by_hand(family)
    names = {"add": "add", "open": "add_open", "mul": "mul", "c": "nearest", "b": "given"}
    assert {key: pytest.approx(getattr(found, name)) for key, name in names.items()} == wanted
    assert 0 < wanted["add"] < 1
    offsets = family.children - family.parents[family.parent]
    offsets /= np.linalg.norm(offsets, axis=1, keepdims=True)
    cosine, same = offsets @ offsets.T, family.parent[:, None] == family.parent
    assert found.parallel == pytest.approx(cosine[~same].mean())
    assert found.siblings == pytest.approx(cosine[same & ~np.eye(15, dtype=bool)].mean())


def test_all_worlds_are_counted_where_they_are_few() -> None:
    rng = np.random.default_rng(1)
    family = worlds.family(worlds.clear, 4, 3, rng)
    facts = analogies.measure(family, 99, rng)
    assert (facts["shuffles"], facts["reflections"]) == (24, 16)
    assert facts["p_floor"] == 2 / 16 == facts["parallel_p"]
    own = analogies.score(analogies.compact(family)).parallel
    others = [
        analogies.score(family._replace(parents=family.parents[list(order)])).parallel
        for order in permutations(range(4))
    ]
    assert facts["parallel"] == pytest.approx(own)
    assert facts["parallel_shuffled"] == pytest.approx(np.mean(others))


def test_turns_keep_circles_and_lines_in_order() -> None:
    circle = relations.turns("circle", 5)
    assert len({tuple(order) for order in circle}) == 10
    assert {tuple(np.sort(np.abs(np.diff(order)) % 3)) for order in circle} == {(1, 1, 1, 1)}
    assert relations.turns("line", 4).tolist() == [[0, 1, 2, 3], [3, 2, 1, 0]]


def test_circles_in_one_plane_are_no_analogy_however_smooth() -> None:
    """Two circles turned against each other at random: p of the turns is no smaller than it says."""
    rng = np.random.default_rng(5)
    angle = 2 * np.pi * np.arange(12) / 12
    found = []
    for _ in range(40):
        turned = angle + 2 * np.pi * rng.integers(12) / 12
        rings = [np.c_[np.cos(a), np.sin(a), np.zeros((12, 6))] for a in (angle, turned)]
        rings = [ring + 0.1 * rng.standard_normal(ring.shape) for ring in rings]
        family = analogies.Family(rings[0], rings[1] + [0, 0, 1, 0, 0, 0, 0, 0], np.arange(12))
        facts = analogies.measure(family, 99, rng, relations.turns("circle", 12))
        found.append(facts["parallel_p"] <= 1 / 24)
    assert np.sum(found) <= 8


# ------------------------------------------------------- the stage on the embeddings of a model

SMALL = LanguageSettings(filler=40, numbers=8, sizes=4)


class Item:
    """What the runner hands to a bank stage."""

    def __init__(self, settings: dict[str, Any], inputs: dict[str, Path], out: Path) -> None:
        self.digest, self.spec = "rows", {"settings": settings, "inputs": {}}
        self.inputs, self.out = inputs, out

    def publish(self, metrics: dict[str, Any]) -> None:
        self.metrics = metrics


class Embedded:
    """Labelled tokens of a small language, an untrained model, and its embeddings captured."""

    def __init__(self, folder: Path, turn: Any = lambda weights, words: None) -> None:
        words = language(SMALL)
        self.words, self.corpus, self.out = words, folder / "corpus", folder / "concepts"
        given = {"source": "generated", "n_tokens": 60_000, "context_length": 16}
        for made in (self.corpus, self.out, folder / "model", folder / "rows"):
            made.mkdir(parents=True)
        build.run(
            {"settings": {**given, "language": SMALL.model_dump()}}, {}, self.corpus, Context()
        )
        shape = Architecture(n_layers=1, d_model=24, n_heads=2, d_mlp=32, n_ctx=16)
        config = native.native_config(shape, len(words.vocabulary), 0)
        model = native.build(config)
        self.weights = model.tok_embed.weight.detach()
        turn(self.weights, words)
        native.save(model, config, list(words.vocabulary), folder / "model")
        settings = {"chunk_rows": 4096, "batch_tokens": 4096, "window_tokens": 4096}
        settings |= {"dtype": "float32", "model": {"source": "trained"}, "site": "hook_embed"}
        inputs = {"model": folder / "model", "corpus": self.corpus}
        capture.run([Item(settings, inputs, folder / "rows")], Context())
        spec = {"settings": {"min_tokens": 5, "draws": 999}}
        inputs = {"activations": folder / "rows", "masks": [], "corpus": self.corpus}
        self.summary = concepts.run(spec, inputs, self.out, Context())

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.out / f"{name}.parquet")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    return Embedded(tmp_path_factory.mktemp("embedded"))


def test_class_means_at_hook_embed_are_the_embeddings_of_the_tokens(embedded: Embedded) -> None:
    means = embedded.table("means")
    for name in ("weekday", "species"):
        mine = means[means["concept"] == name].set_index("value")["norm"]
        tokens = [embedded.words.vocabulary.index(word) for word in concept(embedded, name)]
        wanted = embedded.weights[tokens].norm(dim=1).numpy()
        np.testing.assert_allclose(mine.sort_index(), wanted, rtol=1e-5)


def concept(embedded: Embedded, name: str) -> list[str]:
    return embedded.words.concepts[name]["values"]


def test_random_embeddings_have_no_relations(embedded: Embedded) -> None:
    found = embedded.table("relations").set_index(["child", "space"])
    assert set(found.index) == {
        (child, space) for child in ("species", "class", "weather") for space in ("raw", "whitened")
    }
    assert found.loc[("species", "raw"), ["children", "parents"]].tolist() == [36, 12]
    assert (found[["parallel_p", "gain_p"]] > 0.01).all(axis=None)
    assert embedded.summary["relations"]["species to class"]["add"] < 0.2


def test_relations_planted_in_embeddings_are_found(tmp_path: Path) -> None:
    """Species are their class and one offset; classes have no relation to their kingdom."""

    def plant(weights: torch.Tensor, words: Any) -> None:
        tree = words.lexicon.tree
        away = weights[0].clone()  # as long as an embedding
        noise = weights[torch.from_numpy(tree.species).long()].clone()
        above = weights[torch.from_numpy(tree.classes[tree.class_of]).long()]
        weights[torch.from_numpy(tree.species).long()] = above + away + 0.3 * noise

    made = Embedded(tmp_path, plant)
    found = made.table("relations").set_index(["child", "space"])
    species = found.loc[("species", "raw")]
    assert species["parallel"] > 0.85 and species["add"] > 0.95 > species["nearest"] + 0.3
    assert max(species["parallel_p"], species["gain_p"]) < 0.01 and species["p_floor"] == 1 / 1000
    assert found.loc[("species", "whitened"), "parallel_p"] < 0.01
    assert found.loc[("class", "raw"), "parallel_p"] > 0.1


def test_the_sweep_corrects_over_relations_of_one_space(embedded: Embedded, tmp_path: Path) -> None:
    sites = [Source(str(i), embedded.out, {"site": f"hook_{i}", "layer": i}) for i in range(3)]
    found = concept_relations(sites)
    assert found["site"].tolist() == [f"hook_{i}" for i in range(3) for _ in range(6)]
    for _, of in found.groupby("space"):
        p, q = of["gain_p"].to_numpy(), of["gain_q"].to_numpy()
        assert q[np.argmin(p)] == pytest.approx(min(np.sort(p) * 9 / np.arange(1, 10)))
    none = concept_relations([])
    assert none.empty and list(none.columns) == list(found.columns)


class Tagged:
    """Labels of tokens and nothing else."""

    def __init__(self, **labels: list[int]) -> None:
        self._labels = {name: np.array(values, np.int16) for name, values in labels.items()}

    def label(self, name: str) -> np.ndarray:
        return self._labels[name]


def moments(labels: np.ndarray, x: np.ndarray) -> class_means.Moments:
    rows = (labels[:, None] == np.arange(labels.max() + 1)).astype(float)
    return class_means.Moments(rows.sum(axis=0)[None], (rows.T @ x)[None], np.zeros((1, 2, 2)))


def test_a_parents_own_tokens_are_those_of_no_child() -> None:
    tokens = Tagged(child=[0, 0, 1, -1, -1, -1], parent=[0, 0, 1, 0, 1, 1])
    x = np.random.default_rng(0).standard_normal((6, 2))
    known = [relations.Relation("child", "parent", "tree", np.array([0, 1]), None)]
    found = {name: moments(tokens.label(name), x) for name in ("child", "parent")}
    own = relations.own_points(found, known, tokens, 2)
    assert own["child"].values.tolist() == [0] and own["parent"].values.tolist() == [1]
    np.testing.assert_allclose(own["parent"].means[0], x[4:].mean(axis=0))
    np.testing.assert_allclose(own["child"].means[0], x[:2].mean(axis=0))
    wrong = Tagged(child=[0, 0, 1, -1, -1, -1], parent=[0, 1, 1, 0, 1, 1])
    with pytest.raises(UserError, match="1 tokens labelled child are not labelled with the parent"):
        relations.own_points(found, known, wrong, 1)


def test_only_declared_relations_are_tested() -> None:
    flat = {"parent": None, "parent_of": None, "shape": "circle"}
    values = {"a": 3, "b": 3, "c": 4}
    known = {name: {**flat, "values": list(range(count))} for name, count in values.items()}
    assert relations.declared(known, None) == []
    truth = {"tuning": {"a": {"around": "b"}, "c": {"around": "b"}}}
    assert [(r.child, r.parent, r.kind) for r in relations.declared(known, truth)] == [
        ("a", "b", "tuned")
    ]


@pytest.mark.parametrize("common", [0.0, 3.0])
def test_pairs_are_analogies_if_their_offsets_are_parallel(common: float) -> None:
    """Countries and capitals: partners near each other, with or without an offset in common."""
    named = {
        "country": {"values": [f"c{i}" for i in range(14)], "shape": "categories", "parent": None},
        "capital": {"values": [f"d{i}" for i in range(14)], "shape": "categories", "parent": None, "pair_of": "country"},
    }  # fmt: skip
    (pair,) = relations.declared(named, None)
    assert (pair.child, pair.parent, pair.kind, pair.turns) == ("capital", "country", "pair", None)
    assert pair.parent_of.tolist() == list(range(14))
    small = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        places, offset = rng.normal(size=(14, 32)), rng.normal(size=32)
        offset *= common / np.linalg.norm(offset)
        partners = places + offset + 0.5 * rng.normal(size=places.shape)
        points = {
            "country": relations.Points(np.arange(14), places),
            "capital": relations.Points(np.arange(14), partners),
        }
        raw = next(r for r in relations.table(points, [pair], 199, seed) if r["space"] == "raw")
        assert np.isnan(raw["orthogonality_p"])
        small.append(raw["parallel_p"] <= 0.05)
    assert sum(small) == 20 if common else sum(small) <= binom.ppf(1 - 1e-4, 20, 0.05)
