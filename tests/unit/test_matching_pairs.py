"""Counts of joint firings, the dependence of tokens, assignments and stitching, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from interpsweep.blockmap import block_map
from interpsweep.config.analysis import MatchSettings
from interpsweep.matching import association, coactivation, dependence, operators, pairs, stitching
from interpsweep.matching.match import match
from interpsweep.matching.sides import Side
from interpsweep.numerics.cosine import compare, unit_rows
from interpsweep.saes.firing import Firing, firing_statistics
from interpsweep.saes.postings import Postings

ROWS, DIM, N_A, N_B = 3000, 8, 13, 17


class Matrix:
    """Codes or activations held in memory, behind the readers' interface."""

    def __init__(self, values: Any, chunk: int = 700) -> None:
        self.values, self.n_rows, self.d_sae = values, values.shape[0], values.shape[1]
        self.rows, self.chunk = (0, self.n_rows), chunk

    def read(self, start: int, stop: int) -> Any:
        return self.values[start:stop]

    def chunks(self) -> list[tuple[int, int]]:
        return [(s, min(s + self.chunk, self.n_rows)) for s in range(0, self.n_rows, self.chunk)]


def plain(function: Any, blocks: Any, what: str = "") -> Any:
    return map(function, blocks)


class Ctx:
    block_map = staticmethod(plain)


def random_side(
    rng: np.random.Generator, width: int, level: float = 0.1, share: float = 0.25
) -> Side:
    values = rng.exponential(1.0, (ROWS, width)) * (rng.random((ROWS, width)) < share)
    reader = Firing.above(Matrix(sp.csr_matrix(values, dtype=np.float32)), level, plain)
    count, mean = firing_statistics(reader, plain)
    rows = unit_rows(rng.standard_normal((width, DIM)))
    return Side(rows, rows, rng.standard_normal(DIM).astype(np.float32), reader, count, mean)


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, ROWS)
    documents = np.repeat(np.arange(len(lengths)), lengths)[:ROWS].astype(np.int32)
    x = rng.standard_normal((ROWS, DIM)).astype(np.float32)
    return {
        "a": random_side(rng, N_A),
        "b": random_side(rng, N_B),
        "documents": documents,
        "x": x,
        "match": np.where(rng.random(N_A) < 0.7, rng.permutation(N_B)[:N_A], -1),
    }


def dense(side: Side) -> tuple[np.ndarray, np.ndarray]:
    """(activations above the floor, all activations)."""
    whole = side.codes.codes.read(0, ROWS).toarray().astype(np.float64)
    return np.where(whole > side.codes.floor, whole, 0), whole


def work_of(world: dict[str, Any]) -> pairs.PairWork:
    a, b = world["a"], world["b"]
    pair_a, pair_b = (side.ravel() for side in np.indices((N_A, N_B)))
    return pairs.PairWork(
        a.codes, b.codes, Matrix(world["x"]), 0, world["documents"], pair_a, pair_b,
        world["match"], a.decoder, b.decoder, a.bias, b.bias, 0,
    )  # fmt: skip


def test_sums_over_pairs_are_those_of_dense_tables(
    world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "STRIPE_ROWS", 500)
    a, b, match, documents = (world[k] for k in ("a", "b", "match", "documents"))
    found = pairs.pair_sums(work_of(world), plain)
    (va, whole_a), (vb, whole_b) = dense(a), dense(b)
    fa, fb = va > 0, vb > 0
    on = np.where(match >= 0, fb[:, match], False)
    strength = np.where(match >= 0, vb[:, match], 0.0)
    hole = fa & ~on
    projection = (world["x"] - b.bias).astype(np.float64) @ a.decoder.T
    residual = world["x"] - (whole_a @ a.decoder + a.bias)
    of_document = [fa.T[:, documents == d].astype(int) @ fb[documents == d] for d in
                   np.unique(documents)]  # fmt: skip
    expected = {
        "n_ab": fa.T.astype(float) @ fb,
        "n_documents": np.sum([counts > 0 for counts in of_document], axis=0),
        "a_with_b": va.T @ fb,
        "b_with_a": fa.T @ vb,
        "n_match_b": on.T.astype(float) @ fb,
        "match_with_b": strength.T @ fb,
        "n_match_ab": (on & fa).T.astype(float) @ fb,
        "match_with_ab": (strength * fa).T @ fb,
        "n_hole_b": hole.T.astype(float) @ fb,
        "hole_b": hole.T @ vb,
        "hole_projection": (projection * hole).T @ fb,
        "n_match_a": (on & fa).sum(axis=0),
        "match_with_a": (strength * fa).sum(axis=0),
        "added": (whole_b**2 - 2 * whole_b * (residual @ b.decoder.T)).sum(axis=0),
        "squared_error": np.sum(residual**2),
        "rows": ROWS,
    }
    for name, values in expected.items():
        got = getattr(found, name)
        np.testing.assert_allclose(got, np.ravel(values), rtol=1e-4, atol=1e-2, err_msg=name)
    # turned round, unrelated latents fire together as often as their frequencies say
    assert found.n_ab_shifted.sum() == pytest.approx(found.n_ab.sum(), rel=0.06)
    assert (found.n_ab_shifted != found.n_ab).mean() > 0.8


def test_candidates_are_those_of_the_dense_table(world: dict[str, Any], tmp_path: Path) -> None:
    a, b = world["a"], world["b"]
    counts = (dense(a)[0] > 0).T.astype(int) @ (dense(b)[0] > 0)
    keep = (counts >= 0.12 * b.count) | (counts >= 0.12 * a.count[:, None])
    best = np.argsort(-counts, axis=0, kind="stable")[:2]
    np.put_along_axis(keep, best, True, axis=0)
    of_a, of_b = (Postings.write(s.codes, s.count, tmp_path / n) for n, s in (("a", a), ("b", b)))
    pair_a, pair_b = coactivation.candidates(of_a, of_b, 2, 0.12, plain)
    found = np.zeros_like(keep)
    found[pair_a, pair_b] = True
    np.testing.assert_array_equal(found, keep)


def test_workers_give_the_same_bytes(world: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(pairs, "STRIPE_ROWS", 500)
    alone = pairs.pair_sums(work_of(world), plain)

    def shared(function: Any, blocks: Any, what: str) -> Any:
        return block_map(function, blocks, engine="threads", workers=2)

    together = pairs.pair_sums(work_of(world), shared)
    for name, values in vars(alone).items():
        assert values.tobytes() == getattr(together, name).tobytes(), name


def test_stripes_never_cut_a_document() -> None:
    documents = np.repeat(np.arange(6), [5, 1, 9, 2, 2, 4])
    cuts = pairs.stripes(documents, 6)
    assert cuts == [(0, 6), (6, 15), (15, 23)]


def test_pairs_of_tokens_by_distance() -> None:
    documents = np.repeat(np.arange(3), [5, 1, 100]).astype(np.int32)
    rows = np.arange(len(documents))
    far = rows[None, :] - rows[:, None]
    same = (documents[None, :] == documents[:, None]) & (far > 0)
    below = [int((same & (far <= lag)).sum()) for lag in dependence.LAGS]
    np.testing.assert_array_equal(dependence.pairs_of_tokens(documents), np.diff(below, prepend=0))


def bursty(rng: np.random.Generator, documents: int, length: int, width: int) -> np.ndarray:
    """Unrelated latents that live in a tenth of the documents and fire there in runs of ten."""
    on = np.repeat(rng.random((documents * length // 10, width)) < 0.3, 10, axis=0)
    return on & np.repeat(rng.random((documents, width)) < 0.1, length, axis=0)


def test_p_is_calibrated_for_unrelated_latents_that_fire_in_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    fired = [bursty(rng, 400, 100, 60) for _ in range(2)]
    documents = np.repeat(np.arange(400), 100).astype(np.int32)
    posted, along = [], []
    for name, on in zip("ab", fired, strict=True):
        reader = Firing(Matrix(sp.csr_matrix(on, dtype=np.float32), 10_000), np.zeros(60))
        posted.append(Postings.write(reader, on.sum(axis=0), tmp_path / name))
        along.append(dependence.measure(posted[-1], documents, plain))
    np.testing.assert_array_equal(
        along[0].documents, fired[0].reshape(400, 100, 60).any(axis=1).sum(axis=0)
    )
    pair_a, pair_b = (side.ravel() for side in np.indices((60, 60)))
    counts = (fired[0].T.astype(int) @ fired[1])[pair_a, pair_b]
    n_a, n_b = posted[0].counts[pair_a], posted[1].counts[pair_b]
    effect = dependence.design_effects(*along, pair_a, pair_b, documents)
    plain_p, corrected = (
        np.exp(association.log_upper_tail(counts, n_a, n_b, len(documents), by))
        for by in (1.0, effect)
    )
    assert effect.min() > 5
    assert np.mean(plain_p < 0.01) > 0.15  # tokens taken for independent: wrong
    assert np.mean(corrected < 0.05) < 0.08
    assert np.mean(corrected < 0.01) < 0.025


def test_design_effect_is_one_where_a_latent_is_scattered(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    runs, scattered = bursty(rng, 400, 100, 8), rng.random((40_000, 8)) < 0.02
    documents = np.repeat(np.arange(400), 100).astype(np.int32)
    along = []
    for name, on in (("a", runs), ("b", scattered)):
        reader = Firing(Matrix(sp.csr_matrix(on, dtype=np.float32), 10_000), np.zeros(8))
        posted = Postings.write(reader, on.sum(axis=0), tmp_path / name)
        along.append(dependence.measure(posted, documents, plain))
    pair_a, pair_b = (side.ravel() for side in np.indices((8, 8)))
    assert dependence.design_effects(*along, pair_a, pair_b, documents).max() < 1.3


def test_sparse_assignment_is_the_dense_one_between_similar_dictionaries() -> None:
    rng = np.random.default_rng(3)
    a = unit_rows(rng.standard_normal((300, 64)))
    b = unit_rows(a[rng.permutation(300)] + 0.08 * rng.standard_normal((300, 64)))
    full = operators.assignment(a, b)
    near = operators.assign(a, b, limit=10)
    np.testing.assert_array_equal(near.b, full.b)
    np.testing.assert_allclose(near.cosine, full.cosine, rtol=1e-5)
    alone = operators.assign(a[:50], b, limit=10)
    assert len(alone.a) == 50 == len(set(alone.b))


def test_comparison_both_ways_is_exact_with_ties() -> None:
    rng = np.random.default_rng(4)
    a = unit_rows(rng.integers(-1, 2, (120, 4)).astype(float) + np.eye(4)[0])
    b = unit_rows(rng.integers(-1, 2, (90, 4)).astype(float) + np.eye(4)[0])
    found, table = compare(a, b, 3, 0.9, block=32), a @ b.T
    for near, cosine in ((found.ab, table), (found.ba, table.T)):
        np.testing.assert_array_equal(near.index, np.argsort(-cosine, axis=1, kind="stable")[:, :3])
    assert len(found.above.a) == (table >= 0.9).sum()


def test_stitching_leads_from_one_reconstruction_to_the_other(world: dict[str, Any]) -> None:
    a, b = world["a"], world["b"]
    rng = np.random.default_rng(5)
    near = compare(b.decoder, a.decoder, 1).ab
    features = pd.DataFrame(
        {
            "side": "b",
            "feature": np.arange(N_B),
            "nearest": near.index[:, 0],
            "cosine": near.cosine[:, 0],
            "delta_mse": rng.standard_normal(N_B),
        }
    )
    plan = stitching.plan(a, b, features)
    assert plan.insert.min() >= 1 and plan.remove.min() > plan.inserting
    assert max(plan.insert.max(), plan.remove.max()) <= plan.steps
    made = stitching.curve(a, b, Matrix(world["x"]), 0, plan, Ctx)
    for side, row in ((a, made.iloc[0]), (b, made.iloc[-1])):
        error = world["x"] - (dense(side)[1] @ side.decoder + side.bias)
        assert row["mse"] == pytest.approx(np.sum(error**2) / ROWS, rel=1e-5)
        centred = np.mean(np.sum((error - error.mean(axis=0)) ** 2, axis=1))
        assert row["mse_centred"] == pytest.approx(centred, rel=1e-5)
        assert row["l0"] == pytest.approx((dense(side)[1] > 0).sum() / ROWS)
    assert made["removed"].iloc[-1] == N_A and made["inserted"].iloc[-1] == N_B


@pytest.mark.parametrize("silent", ["a", "b", "ab"])
@pytest.mark.filterwarnings("error")
def test_a_dictionary_of_which_nothing_fires_matches_nothing(silent: str) -> None:
    rng = np.random.default_rng(0)
    x = Matrix(rng.standard_normal((ROWS, DIM)).astype(np.float32))
    a, b = (random_side(rng, width, share=0 if name in silent else 0.25)
            for name, width in (("a", N_A), ("b", N_B)))  # fmt: skip
    edges, latents, summary = match(a, b, x, 0, MatchSettings(), Ctx())
    assert len(edges) == 0 and len(latents) == N_A + N_B
    assert (latents["nearest"] == -1).all() and (latents["mutual"] == -1).all()
    assert summary["mmcs_ab"] == 0 and summary["p_mmcs_covariance"] == 1
    assert summary["null_covariance"]["mmcs_ab"] is None
    assert summary["reason"].startswith("no latent of " + " and ".join(silent))
    curve = stitching.curve(a, b, x, 0, stitching.plan(a, b, latents), Ctx())
    assert (curve["l0"].iloc[0] > 0) == ("a" not in silent)
