"""Worlds of planted features: what they draw, and how they lie in corpus and activations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from interpsweep.activations.artifact import Activations
from interpsweep.activations.world import capture_world
from interpsweep.config.activations import CaptureItem
from interpsweep.config.corpora import GeneratedCorpus
from interpsweep.config.worlds import CompositionWorld, TreeWorld
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.corpora.world import Planted, write_world
from interpsweep.worlds import world

DEEP = TreeWorld(roots=2, branching=2, depth=2, child_probability=0.4, independent=3, d=32)


def firings(settings: TreeWorld | CompositionWorld, blocks: int = 8) -> np.ndarray:
    made = world(settings)
    return np.vstack([made.draw(b, 0).codes.toarray() for b in range(blocks)])


def test_features_fire_as_often_as_planted_and_children_only_with_parents() -> None:
    made, codes = world(DEEP), firings(DEEP)
    assert made.names[:6] == ["root0", "root1", "root0.0", "root0.1", "root1.0", "root1.1"]
    assert made.depth.tolist() == [0, 0, 1, 1, 1, 1] + [2] * 8 + [0] * 3
    on = codes > 0
    assert np.allclose(on.mean(0), made.probability, atol=5 * np.sqrt(0.25 / len(on)))
    for child, parent in enumerate(made.parent):
        assert parent < 0 or not (on[:, child] & ~on[:, parent]).any()
    assert not (on[:, 2] & on[:, 3]).any()  # siblings exclude each other


def test_directions_are_orthonormal_where_there_is_room() -> None:
    gram = world(DEEP).directions @ world(DEEP).directions.T
    assert np.allclose(gram, np.eye(len(gram)), atol=1e-6)
    crowded = world(TreeWorld(d=8, independent=40)).directions
    assert np.allclose(np.linalg.norm(crowded, axis=1), 1)


def test_magnitudes_ratios_and_violations() -> None:
    s = TreeWorld(roots=1, branching=2, child_ratio=0.5, child_magnitude=2, independent=0,
                  magnitude_noise=0.1, scale_children=True, violations=0.5, d=8)  # fmt: skip
    codes = firings(s)
    on = codes > 0
    with_parent = on[:, 1] & on[:, 0]
    assert np.isclose(codes[with_parent, 1].mean() / codes[with_parent, 0].mean(), 2, rtol=0.02)
    assert np.corrcoef(codes[with_parent, 0], codes[with_parent, 1])[0, 1] > 0.5
    assert np.isclose(on[:, 2].sum() / on[:, 1].sum(), 0.5, atol=0.08)
    assert np.isclose((on[:, 1] & ~on[:, 0]).sum() / with_parent.sum(), 0.5, atol=0.12)


def test_correlated_firings_keep_their_frequencies() -> None:
    s = TreeWorld(roots=0, independent=6, independent_probability=0.2, correlation=0.9, d=8)
    on = firings(s) > 0
    assert np.allclose(on.mean(0), 0.2, atol=0.01)
    assert np.abs(np.corrcoef(on.T) - np.eye(6)).max() > 0.1


def test_objects_have_one_value_of_each_attribute() -> None:
    on = firings(CompositionWorld(independent=0)) > 0
    assert set(on[:, :2].sum(1)) == set(on[:, 2:].sum(1)) == {0, 1}
    assert (on[:, :2].sum(1) == on[:, 2:].sum(1)).all()


def test_impossible_worlds_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"exclusive children have 1\.2 together"):
        TreeWorld(branching=3, child_probability=0.4)
    with pytest.raises(ValidationError, match="needs `independent` features"):
        TreeWorld(roots=0, independent=0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    settings = GeneratedCorpus(n_tokens=20_000, context_length=32)
    write_world(settings, {**DEEP.identity(), "noise": 0.1}, out, Context())
    return out


def capture(corpus: Path, out: Path, chunk_rows: int = 5000, workers: int = 1, layer: int = 0):
    settings = CaptureItem(
        dtype="float32", chunk_rows=chunk_rows, model={"source": "world"},
        site=f"blocks.{layer}.hook_resid_post",
    )  # fmt: skip
    out.mkdir()
    capture_world(settings, corpus, out, Context(workers=workers))
    return Activations.open(out)


def test_the_corpus_names_its_rows_and_keeps_the_truth(corpus: Path) -> None:
    read, truth = Corpus.open(corpus), Planted(corpus)
    assert read.n_tokens == truth.codes.n_rows == 20_000 and not read.special.any()
    codes = truth.codes.read(0, 500)
    for row, token in enumerate(read.flat(0, 500)):
        active = codes[row].indices
        name = read.vocabulary[token].strip()
        assert name in set(truth.features["name"].iloc[active]) if len(active) else name == "·"
    made = world(truth.settings)
    assert np.array_equal(truth.directions, made.directions)
    assert np.array_equal(truth.features["parent"], made.parent)
    assert truth.features["count"].sum() == sum(
        truth.codes.read(*chunk).nnz for chunk in truth.codes.chunks()
    )


def test_activations_are_codes_times_directions_plus_noise(corpus: Path, tmp_path: Path) -> None:
    truth, acts = Planted(corpus), capture(corpus, tmp_path / "a")
    noise = acts.read(0, 20_000) - truth.codes.read(0, 20_000) @ truth.directions
    assert np.isclose(noise.std(), 0.1, rtol=0.01) and abs(noise.mean()) < 1e-3
    assert acts.splits["train"][1] == Corpus.open(corpus).splits["train"][1] * 32


def test_activations_do_not_depend_on_chunks_or_workers(corpus: Path, tmp_path: Path) -> None:
    a = capture(corpus, tmp_path / "a").read(0, 20_000)
    b = capture(corpus, tmp_path / "b", chunk_rows=777, workers=3).read(0, 20_000)
    assert np.array_equal(a, b)


def test_further_layers_see_the_world_turned(corpus: Path, tmp_path: Path) -> None:
    a = capture(corpus, tmp_path / "a").read(0, 3000)
    b = capture(corpus, tmp_path / "b", layer=1).read(0, 3000)
    assert not np.allclose(a, b, atol=0.5)
    assert np.allclose(
        np.linalg.norm(a, axis=1).mean(), np.linalg.norm(b, axis=1).mean(), rtol=0.05
    )
