"""Torus, sphere, helix, grid and polytopes: named where they are, not claimed where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interpsweep.geometry import nulls, shape_fits
from interpsweep.geometry.arrangements import arrangement
from interpsweep.geometry.outcomes import outcomes
from interpsweep.geometry.shapes import SHAPES, grid, helix, polytope, torus
from interpsweep.worlds import polytopes, shapes, structureless

DIM = 64
NEW = ("torus", "sphere", "helix", "grid", "polytope")
ARRANGED = {
    "torus": [shapes.torus(4, 5), shapes.torus(5, 6, 0.6)],
    "sphere": [shapes.fibonacci(12), shapes.fibonacci(20)],
    "helix": [shapes.helix(24), shapes.helix(30, 2.0, 1.5)],
    "grid": [shapes.grid(4, 5), shapes.grid(5, 6)],
    "polytope": [polytopes.POLYTOPES[n] for n in ("tetrahedron", "5-simplex", "square antiprism")],
}


def named(directions: np.ndarray, rng: np.random.Generator) -> tuple[list[str], str]:
    """Tests that directions pass at 5%, and their name."""
    made = outcomes(directions, 8, 199, 999, rng)
    passing = [name for name, o in made.items() if o.p <= 0.05]
    points = nulls.principal(directions, 8)
    order = SHAPES["circle"].order
    assert order is not None
    closure = shape_fits.closure(points, order(points))
    return passing, shape_fits.name(passing, shape_fits.adjusted(points, rng), closure)


@pytest.mark.parametrize(
    ("shape", "number"), [(s, i) for s, all_ in ARRANGED.items() for i in range(len(all_))]
)
def test_a_planted_shape_is_named(shape: str, number: int) -> None:
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        centre = 0.0 if shape == "polytope" else 2.0
        found.append(named(shapes.embed(ARRANGED[shape][number], DIM, rng, centre, 0.15), rng))
    assert all(shape in passing for passing, _ in found)
    assert sum(name == shape for _, name in found) >= 4


@pytest.mark.parametrize(
    ("points", "name"),
    [
        (shapes.polygon(12), "circle"),
        (shapes.polygon(24), "circle"),
        (shapes.line(20), "line"),
        (shapes.arc(14), "line"),
        (shapes.tree([3, 4], 0.7, np.random.default_rng(0)), "tree"),
        (shapes.tree([3, 3, 3], 0.7, np.random.default_rng(1)), "tree"),
        (polytopes.POLYTOPES["pentagon"], "circle"),
    ],
    ids=["12-gon", "24-gon", "line", "arc", "tree of 12", "tree of 27", "pentagon"],
)
def test_a_simpler_shape_is_not_named_after_a_richer_one(points: np.ndarray, name: str) -> None:
    """A torus, helix or sphere fits circles, lines and trees too, with more freedom."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        assert named(shapes.embed(points, DIM, rng, 1.5, 0.2), rng)[1] == name


def test_a_ring_that_bends_out_of_its_plane_is_a_circle() -> None:
    """Like the seam of a tennis ball: near a sphere, but one angle says where a point is."""
    t = 2 * np.pi * np.arange(12) / 12
    seam = np.column_stack([np.cos(t), np.sin(t), 0.8 * np.cos(2 * t)])
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found.append(named(shapes.embed(seam, DIM, rng, 1.5, 0.2), rng))
    assert all({"circle", "sphere"} <= set(passing) for passing, _ in found)
    assert [name for _, name in found] == ["circle"] * 5


@pytest.mark.parametrize("test", NEW)
def test_size_on_directions_without_structure(test: str) -> None:
    """Gaussian arrangements round a centre, brought to length one: of 150 a 5% test rejects about
    8; 18 has probability below .001.
    """
    rng = np.random.default_rng(11)
    size = 7 if test == "polytope" else 15
    ps = []
    while len(ps) < 150:
        rows = shapes.embed(rng.standard_normal((size, 4)), DIM, rng, 1.0, 0.3)
        made = outcomes(rows, 8, 99, 99, rng, (test,))
        ps += [made[test].p] if test in made else []
    assert np.sum(np.array(ps) <= 0.05) < 18


def test_exact_arrangements_have_the_statistic_of_a_perfect_one() -> None:
    rng = np.random.default_rng(3)
    turned = shapes.torus(5, 6) @ np.linalg.qr(rng.standard_normal((4, 4)))[0]  # in no plane
    assert SHAPES["torus"].statistic(turned[None])[0] == pytest.approx(1, abs=1e-6)
    assert SHAPES["sphere"].statistic(polytopes.octahedron()[None])[0] == pytest.approx(1)
    assert SHAPES["grid"].statistic(shapes.grid(4, 5)[None])[0] == pytest.approx(0, abs=1e-12)
    assert SHAPES["grid"].statistic(turned[None])[0] == pytest.approx(0, abs=1e-12)
    for k, name in polytope.NAMES.items():
        rows = polytopes.POLYTOPES[name][rng.permutation(k)]
        assert SHAPES["polytope"].statistic(rows[None])[0] == pytest.approx(0, abs=1e-7)
    curve = nulls.principal(shapes.helix(30, 2.0, 1.5), 3)
    order, turns = helix.best(curve)
    assert list(order) in (list(range(30)), list(range(29, -1, -1))) and turns == 2


def test_places_of_a_grid_and_angles_of_a_torus_are_read_off() -> None:
    points = shapes.grid(4, 5) @ np.linalg.qr(np.random.default_rng(4).standard_normal((2, 2)))[0]
    places = grid.lattice(points)
    assert len({tuple(p) for p in places.tolist()}) == 20
    assert sorted(np.ptp(places, axis=0)) == [3, 4]
    around = torus.angles(nulls.principal(shapes.torus(4, 6, 0.7), 4))
    counts = sorted(len(np.unique(np.round(np.exp(1j * a), 6))) for a in around.T)
    assert counts == [4, 6]


def test_the_labelling_of_a_polytope_is_undone() -> None:
    rng = np.random.default_rng(5)
    rows = polytopes.POLYTOPES["square antiprism"][rng.permutation(8)]
    squared = 2 - 2 * rows @ rows.T
    np.testing.assert_allclose(polytope.nearest(squared), squared, atol=1e-6)


def test_shapes_that_cannot_be_are_not_tested() -> None:
    rng = np.random.default_rng(6)
    flat = outcomes(shapes.embed(shapes.polygon(15), DIM, rng, 1.0, 0.1), 8, 99, 99, rng)
    assert not {"torus", "sphere", "polytope"} & flat.keys()


@pytest.mark.parametrize("length", [1.0, 3.0])
def test_arrangements_at_lengths_keep_them_and_nearly_centre_and_spectrum(length: float) -> None:
    rng = np.random.default_rng(7)
    rows = shapes.embed(rng.standard_normal((15, 3)), DIM, rng, 1.0, 0.2)
    rows *= length * rng.uniform(0.8, 1.2, (15, 1))
    points, kept = nulls.principal(rows, 8), arrangement(rows[None])
    draws = kept.at_lengths(nulls.centred(15, kept.singular.shape[1], 50, rng), 14)[0]
    np.testing.assert_allclose(draws.mean(axis=1), 0, atol=1e-9 * length)
    # a centred draw and its mean have the sum of squared lengths between them
    total, whole = np.sum(draws**2, axis=(1, 2)), np.sum(rows**2)
    assert (total < whole).all()
    np.testing.assert_allclose(total.mean(), np.sum((rows - rows.mean(axis=0)) ** 2), rtol=0.1)
    spectrum: Any = np.sum(draws**2, axis=1).mean(axis=0)[:3]
    np.testing.assert_allclose(spectrum, np.sum(points**2, axis=0)[:3], rtol=0.2)


@pytest.mark.parametrize("centre", [0.3, 1.0])
def test_lengths_explain_most_circles_of_random_directions(centre: float) -> None:
    rng = np.random.default_rng(8)
    known, plain = 0, 0
    for _ in range(150):
        rows = shapes.embed(structureless.isotropic(14, 14, rng), DIM, rng, centre, 0.3)
        known += outcomes(rows, 8, 199, 199, rng, ("circle",))["circle"].p <= 0.05
        points = nulls.principal(rows, 8)
        drawn = SHAPES["circle"].statistic(nulls.haar(points, 199, rng))
        plain += nulls.upper_p(SHAPES["circle"].statistic(points[None])[0], drawn) <= 0.05
    assert known < plain / 2
