"""Groups of latents that fire on the same tokens, communities of directions, tegum factors."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from plain import Matrix, Plain

from interpsweep.config.analysis import GeometrySettings
from interpsweep.errors import UserError
from interpsweep.geometry import census, clusters, communities, groups, spectrum
from interpsweep.saes.joint import Joint, without_itself
from interpsweep.worlds import polytopes

GROUPS, SIZE, ROWS = 4, 6, 6000
DIM = 64


def firing_together(seed: int, shuffled: bool = False) -> Matrix:
    """Latents of `GROUPS` groups of `SIZE` that fire on the same rows with probability .7, and as
    many that fire alone.
    """
    rng = np.random.default_rng(seed)
    event = rng.random((ROWS, GROUPS)) < 0.05
    on = np.repeat(event, SIZE, axis=1) & (rng.random((ROWS, GROUPS * SIZE)) < 0.7)
    alone = rng.random((ROWS, GROUPS * SIZE)) < 0.035
    both = np.hstack([on, alone]).astype(np.float32)
    if shuffled:
        both = rng.permuted(both, axis=0)
    return Matrix(sp.csr_matrix(both))


def grouped(source: str, codes: Matrix) -> list[set[int]]:
    alive = np.arange(2 * GROUPS * SIZE)
    count = np.asarray(codes.read(0, ROWS).sum(axis=0)).ravel().astype(np.int64)
    settings = GeometrySettings(firing_clusterings=(source,))
    found = groups.by_together(codes, alive, count, settings, Plain)
    return [set(group.members.tolist()) for group in found]


@pytest.mark.parametrize("source", ["phi", "jaccard"])
def test_latents_that_fire_together_are_grouped(source: str) -> None:
    planted = [set(range(i * SIZE, (i + 1) * SIZE)) for i in range(GROUPS)]
    made = grouped(source, firing_together(0))
    assert sorted(made, key=min) == planted
    assert grouped(source, firing_together(1, shuffled=True)) == []


def test_jaccard_counts_rows() -> None:
    joint = np.array([[4.0, 2.0, 0.0], [2.0, 6.0, 0.0], [0.0, 0.0, 0.0]])
    made = without_itself(Joint(joint, np.diag(joint), np.diag(joint), 10).jaccard())
    np.testing.assert_allclose(made, [[0, 0.25, 0], [0.25, 0, 0], [0, 0, 0]])


def nested(apart: float, rng: np.random.Generator) -> np.ndarray:
    """Unit rows (24, 48): a blob of 8 far from one of 16, which is two of 8, `apart` of each other."""
    centre = np.linalg.qr(rng.standard_normal((48, 4)))[0].T
    two = [centre[0] + apart * centre[2], centre[0] - apart * centre[2]]
    rows = np.repeat([*two, centre[1]], 8, axis=0) + 0.03 * rng.standard_normal((24, 48))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("apart", "count"), [(0.5, 2), (0.0, 0)])
def test_parts_of_a_group(apart: float, count: int) -> None:
    unit = nested(apart, np.random.default_rng(0))
    found = {tuple(c.members): c for c in clusters.find(unit, 4, 16, 100, 0)}
    whole = found[tuple(range(16))]
    parts = clusters.parts(unit, whole, 4)
    assert [c.members.tolist() for c in sorted(parts, key=lambda c: int(c.members[0]))] == [
        list(range(8 * i, 8 * i + 8)) for i in range(count)
    ]
    assert not any(clusters.parts(unit, part, 4) for part in parts)


def test_factors_of_a_tegum_product_are_groups() -> None:
    names = ["triangle", "pentagon", "tetrahedron", "square antiprism", "digon"] * 3
    made = polytopes.tegum(names, np.random.default_rng(0), dim=200, noise=0.05)
    settings: Any = GeometrySettings(clusterings=("tegum",))
    found = groups.by_direction("tegum", made.unit.astype(np.float32), settings)
    planted = [np.flatnonzero(made.factor == f) for f in range(len(names))]
    assert {tuple(g.members) for g in found} == {tuple(p) for p in planted if len(p) > 2}


def rows_in_blobs() -> np.ndarray:
    rng = np.random.default_rng(3)
    rows = np.repeat(rng.standard_normal((3, 32)), 20, axis=0) + 0.3 * rng.standard_normal((60, 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.slow  # umap compiles itself for most of a minute
def test_umap_draws_blobs_apart_and_alike_each_time() -> None:
    pytest.importorskip("umap")
    place = spectrum.embed(rows_in_blobs(), "umap", 0).reshape(3, 20, 2)
    centres = place.mean(axis=1)
    within = np.linalg.norm(place - centres[:, None], axis=2).max()
    apart = np.linalg.norm(centres[:, None] - centres, axis=2)[np.triu_indices(3, 1)].min()
    assert apart > 2 * within
    np.testing.assert_array_equal(spectrum.embed(rows_in_blobs(), "umap", 0).ravel(), place.ravel())


def test_umap_that_is_not_installed_is_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match="maps"):
        spectrum.embed(rows_in_blobs(), "umap", 0)


def planted_groups(groups: int, size: int, rest: int, dim: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((groups, dim)) / np.sqrt(dim), size, axis=0)
    tight = centres + 0.8 * rng.standard_normal(centres.shape) / np.sqrt(dim)
    rows = np.vstack([tight, rng.standard_normal((rest, dim))])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("source", ["leiden", "spectral"])
def test_planted_groups_are_communities(source: Any) -> None:
    unit = planted_groups(8, 9, 150 if source == "leiden" else 0, DIM, 0)
    settings = GeometrySettings(clusterings=(source,), spectral_clusters=8)
    found = census.by_directions(unit, settings, Plain)
    sets = [set(g.members.tolist()) for g in found]
    planted = [set(range(9 * i, 9 * i + 9)) for i in range(8)]
    assert sum(group in sets for group in planted) >= 7
    assert [set(g.members) for g in census.by_directions(unit, settings, Plain)] == sets


def test_leiden_finds_next_to_nothing_in_noise() -> None:
    unit = planted_groups(0, 1, 600, DIM, 1)
    found = groups.by_direction("leiden", unit, GeometrySettings())
    assert sum(len(g.members) for g in found) < 0.15 * len(unit)


def test_communities_of_cliques() -> None:
    """Two 5-cliques joined by an edge: at a resolution between the densities they come apart."""
    matrix = np.zeros((10, 10))
    matrix[:5, :5] = matrix[5:, 5:] = 1
    matrix[4, 5] = matrix[5, 4] = 1
    np.fill_diagonal(matrix, 0)
    csr = sp.csr_matrix(matrix)
    graph = communities.Graph(
        csr.indptr.astype(np.int64), csr.indices.astype(np.int64), csr.data, np.ones(10)
    )
    for seed in range(5):
        label = communities.leiden(graph, 0.5, np.random.default_rng(seed))
        assert len(set(label[:5])) == len(set(label[5:])) == 1 and label[0] != label[9]
    assert len(set(communities.leiden(graph, 0.01, np.random.default_rng(0)))) == 1
    assert len(set(communities.leiden(graph, 1.5, np.random.default_rng(0)))) == 10
