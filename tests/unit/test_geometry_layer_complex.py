"""The complex of two layers, from codes to Betti numbers: planted loops, and nothing in noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from plain import Matrix
from scipy.stats import binom

from interpsweep.claims import rows
from interpsweep.claims.claims import GATHERED
from interpsweep.columns import COMPLEX, TOPOLOGY
from interpsweep.config.analysis import ClaimsSettings, ComplexesSettings
from interpsweep.context import Context
from interpsweep.geometry import layer_complex
from interpsweep.matching.dependence import design_effects, measure
from interpsweep.matching.vertices import COLUMNS, vertices
from interpsweep.saes.firing import Firing, firing_statistics
from interpsweep.saes.postings import Postings
from interpsweep.sources import Source, stacked
from interpsweep.tables import read_parquet, typed, write_json, write_parquet

ROWS, LATENTS, RARE = 6000, 12, 30
SETTINGS = ComplexesSettings(draws=199)
Mask = np.ndarray


class Serial:
    """A context that does one block after the other."""

    @staticmethod
    def block_map(work: Callable, blocks: Iterable, _what: str) -> Iterable:
        return map(work, blocks)


def postings(fires: Mask, folder: Path) -> Postings:
    firing = Firing(Matrix(sp.csr_matrix(fires, dtype=np.float32)), np.zeros(fires.shape[1]))
    return Postings.write(firing, firing_statistics(firing, Serial.block_map)[0], folder)


def table_of(below: Mask, above: Mask, folder: Path, documents: Mask | None = None) -> pd.DataFrame:
    if documents is None:
        documents = np.arange(len(below), dtype=np.int32)
    sides = [postings(fires, folder / name) for name, fires in (("a", below), ("b", above))]
    return vertices(*sides, documents, RARE, Serial.block_map)


def random_fires(latents: int, share: float, seed: int) -> Mask:
    return np.random.default_rng(seed).random((ROWS, latents)) < share


def ring_of_ands(latents: int) -> tuple[Mask, Mask]:
    """Independent latents, and above them the conjunctions of each with the next one round."""
    below = random_fires(latents, 0.2, 0)
    return below, below & np.roll(below, -1, axis=1)


def test_a_ring_of_conjunctions_is_one_loop(tmp_path: Path) -> None:
    found = table_of(*ring_of_ands(LATENTS), tmp_path)
    assert found["b"].value_counts().eq(2).all() and found["b"].nunique() == LATENTS
    simplices, weights = layer_complex.joined(found, 3, 0.0)
    pairs = {tuple(sorted(row[:2])) for row in simplices.tolist()}
    assert pairs == {tuple(sorted((i, (i + 1) % LATENTS))) for i in range(LATENTS)}
    assert (simplices[:, 2] == -1).all()
    # both of its latents fire wherever a conjunction does, so that the more frequent one has the
    # smaller NPMI: log(1 / q_a) / log(1 / q_b)
    npmi = np.log(found["n_a"] / ROWS) / np.log(found["n_b"] / ROWS)
    np.testing.assert_allclose(weights, npmi.groupby(found["b"]).min(), rtol=1e-6)
    facts = layer_complex.measure(simplices, 199, np.random.default_rng(0))
    assert [facts[name] for name in TOPOLOGY] == [12, 0, 1, 1, 0, 0]
    assert (facts["simplices"], facts["vertices"], facts["largest"]) == (12, 12, 1.0)


def test_three_latents_round_a_ring_fill_a_band(tmp_path: Path) -> None:
    """Conjunctions of each three in a row: a band of triangles, which still goes round once."""
    below = random_fires(LATENTS, 0.3, 1)
    above = below & np.roll(below, -1, axis=1) & np.roll(below, -2, axis=1)
    simplices, _ = layer_complex.joined(table_of(below, above, tmp_path), 3, 0.0)
    facts = layer_complex.measure(simplices, 199, np.random.default_rng(0))
    assert [facts[name] for name in TOPOLOGY[:5]] == [24, 12, 1, 1, 0]
    assert facts["b1_null"] > 5 and facts["b1_p"] == pytest.approx(2 / 200)
    assert facts["edges_p"] == pytest.approx(2 / 200)
    assert facts["articulations"] == 0


def test_unrelated_dictionaries_have_no_complex(tmp_path: Path) -> None:
    """At most 5% of the latents have any latent below them, by the bound far fewer."""
    below, above = random_fires(40, 0.05, 2), random_fires(400, 0.05, 3)
    found = table_of(below, above, tmp_path)
    assert found["b"].nunique() <= binom.ppf(0.999, 400, 0.05)
    assert len(layer_complex.joined(found, 3, 0.0)[0]) <= 1


@pytest.mark.slow
def test_rewiring_has_its_size_where_vertices_are_chosen_by_noise() -> None:
    """The latents of the highest lifts of independent codes, whether or not beyond chance."""
    p = []
    for run in range(100):
        rng = np.random.default_rng(run)
        below, above = (rng.random((1000, 40)) < 0.05 for _ in "ab")
        lift = (below.T.astype(float) @ above) / below.sum(0)[:, None]
        simplices = np.argsort(-lift, axis=0, kind="stable")[:3].T.astype(np.int64)
        facts = layer_complex.measure(simplices, 39, rng)
        p.append([facts[f"{name}_p"] for name in ("edges", "b1", "articulations")])
    assert (np.sum(np.array(p) <= 0.05, axis=0) <= binom.ppf(0.999, 100, 0.05)).all()


def test_vertices_are_those_of_the_table_of_all_pairs(tmp_path: Path) -> None:
    """Against a dense computation, with runs of firings, rare latents and ties."""
    rng = np.random.default_rng(4)
    documents = np.repeat(np.arange(ROWS // 20), 20).astype(np.int32)
    topic = rng.integers(6, size=ROWS // 20)[documents]
    rates = rng.choice([0.001, 0.3], (2, 6, 25), p=[0.8, 0.2])
    below, above = (rng.random((ROWS, 25)) < rates[side][topic] for side in (0, 1))
    below[:, 7] = below[:, 3]  # a tie of everything but the number
    found = table_of(below, above, tmp_path, documents)
    n_a, n_b = below.sum(0), above.sum(0)
    n_ab = below.T.astype(int) @ above
    sides = [postings(fires, tmp_path / f"{n}2") for n, fires in enumerate((below, above))]
    along = [measure(side, documents, Serial.block_map) for side in sides]
    every_a, every_b = (ends.ravel() for ends in np.indices((25, 25)))
    effect = design_effects(*along, every_a, every_b, documents).reshape(25, 25)
    assert effect.max() > 1.5
    needed = np.log((n_a >= RARE).sum() / 0.05)
    expected = []
    for b in np.flatnonzero(n_b >= RARE):
        ranked = []
        for a in np.flatnonzero(n_a >= RARE):
            k, e = n_ab[a, b], n_a[a] * n_b[b] / ROWS
            if k > e and (k * np.log(k / e) - k + e) / effect[a, b] >= needed:
                ranked.append((-k / n_a[a], -k, a))
        expected += [(b, rank, a) for rank, (_, _, a) in enumerate(sorted(ranked)[:4])]
    assert list(found[["b", "rank", "a"]].itertuples(index=False, name=None)) == expected
    assert len(expected) > 25
    a, b = found["a"], found["b"]
    np.testing.assert_array_equal(found["n_ab"], n_ab[a, b])
    np.testing.assert_allclose(found["lift"], n_ab[a, b] * ROWS / (n_a[a] * n_b[b]), rtol=1e-6)
    np.testing.assert_allclose(found["design_effect"], effect[a, b], rtol=1e-6)


def test_settings_choose_how_many_latents_and_how_related(tmp_path: Path) -> None:
    table = pd.DataFrame(
        [(0, 0, 5, 0.9), (0, 1, 6, 0.5), (0, 2, 7, 0.1), (3, 0, 5, 0.8), (4, 0, 1, 0.4),
         (4, 1, 2, 0.3)],
        columns=["b", "rank", "a", "npmi"],
    )  # fmt: skip
    simplices, weights = layer_complex.joined(table, 2, 0.0)
    assert simplices.tolist() == [[5, 6], [1, 2]] and weights.tolist() == [0.5, 0.3]
    simplices, weights = layer_complex.joined(table, 3, 0.35)
    assert simplices.tolist() == [[5, 6, -1]] and weights.tolist() == [0.5]  # of two corners left
    simplices, weights = layer_complex.joined(table, 3, 0.2)
    assert simplices.tolist() == [[5, 6, -1], [1, 2, -1]] and weights.tolist() == [0.5, 0.3]
    assert layer_complex.joined(table, 4, 0.0)[0].tolist() == [[5, 6, 7, -1], [1, 2, -1, -1]]


def test_two_sided_p_doubles_the_smaller_tail() -> None:
    null = np.arange(99.0)
    assert layer_complex.two_sided_p(200.0, null) == pytest.approx(0.02)
    assert layer_complex.two_sided_p(-1.0, null) == pytest.approx(0.02)
    assert layer_complex.two_sided_p(1.0, null) == pytest.approx(2 * 3 / 100)
    assert layer_complex.two_sided_p(7.0, np.full(99, 7.0)) == 1.0
    assert np.isnan(layer_complex.two_sided_p(np.nan, null))


def item(folder: Path, table: pd.DataFrame, place: list[int]) -> pd.DataFrame:
    """`complex.parquet` of a match with this table of simplices."""
    match, out = folder / "match", folder / "complex"
    match.mkdir(parents=True)
    out.mkdir()
    assert list(table.columns) == list(COLUMNS)
    write_parquet(table, match / "simplices.parquet")
    write_json({"vertices": {"a": LATENTS, "b": LATENTS - 1}}, match / "summary.json")
    spec = {"settings": {**SETTINGS.identity(), "place": place}}
    layer_complex.run(spec, {"match": match}, out, Context())
    return read_parquet(out / "complex.parquet")


def test_a_match_between_layers_gives_one_row(tmp_path: Path) -> None:
    simplices = table_of(*ring_of_ands(LATENTS), tmp_path / "codes")
    full = item(tmp_path / "a", simplices, [0, LATENTS, 0])
    pd.testing.assert_frame_equal(full, item(tmp_path / "again", simplices, [0, LATENTS, 0]))
    assert list(full.columns) == list(COMPLEX)
    one = full.iloc[0]
    assert (one["simplices"], one["lower"], one["upper"]) == (LATENTS, LATENTS, LATENTS - 1)
    assert one["b1"] == 1
    none = item(tmp_path / "b", simplices.iloc[:0], [0, LATENTS, 0]).iloc[0]
    assert none["vertices"] == 0 and none["b0"] == 0
    assert np.isnan(none[["weight", "b1_p", "b1_null", "largest"]].astype(float)).all()
    # other layers, widths and seeds have other null complexes
    assert item(tmp_path / "c", simplices, [1, LATENTS, 0])["b1_sd"][0] != one["b1_sd"]


def test_complexes_are_claims(tmp_path: Path) -> None:
    simplices = table_of(*ring_of_ands(LATENTS), tmp_path / "codes")
    own = item(tmp_path, simplices, [0, LATENTS, 0]).iloc[0]
    at = {"model": "m", "site": "blocks.0.hook_resid_post", "layer": 0, "architecture": "topk",
          "sparsity": 4, "d_sae": LATENTS, "seed": 0}  # fmt: skip
    at |= {"b_site": "blocks.1.hook_resid_post", "b_layer": 1}
    made = typed(
        stacked([Source("x", tmp_path / "complex", at)], "complex"), GATHERED["complexes"][2]
    )
    assert (made["b_site"][0], made["b_layer"][0]) == ("blocks.1.hook_resid_post", 1)
    settings = ClaimsSettings()
    claims = rows.assemble([rows.of_complexes(made, settings)], settings)
    # edges of a ring dealt out anew are rings too, one or more: no voids and nothing to cut at
    assert claims["test"].tolist() == ["b0"]
    assert claims["subject"].eq("0->1").all() and claims["members"].eq(LATENTS).all()
    part = claims.iloc[0]
    assert (part["effect"], part["p"], part["q"]) == (1, own["b0_p"], own["b0_p"])
    nothing = typed([], GATHERED["complexes"][2])
    assert rows.of_complexes(nothing, settings).empty
