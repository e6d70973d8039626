"""Shape tests on points of known shape: found where they are, and not more often than chance
elsewhere.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plain import Plain
from scipy.stats import ks_2samp

from interpsweep.config.analysis import GeometrySettings
from interpsweep.geometry import (
    census,
    cloud,
    clusters,
    fiedler,
    nulls,
    selection,
    shape_fits,
    spectrum,
    tegum,
)
from interpsweep.geometry.arrangements import arrangement
from interpsweep.geometry.outcomes import outcomes, rejecting_z
from interpsweep.geometry.shapes import SHAPES
from interpsweep.vectors import unit_length
from interpsweep.worlds import shapes

DIM = 64


def directions(shape: str, k: int, noise: float, seed: int) -> np.ndarray:
    """Unit directions: a common direction plus the shape plus isotropic noise of that length."""
    rng = np.random.default_rng([seed, k])
    frame = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    if shape == "circle":
        t = 2 * np.pi * np.arange(k) / k
        points = np.c_[np.cos(t), np.sin(t)]
    elif shape == "line":
        points = np.linspace(-1.7, 1.7, k)[:, None]
    elif shape == "tree":
        groups = np.arange(k) % 3
        points = 1.2 * np.eye(3)[groups]
    else:
        points = rng.standard_normal((k, 2)) * 0.7
    made = 1.5 * frame[0] + points @ frame[1 : 1 + points.shape[1]]
    made = made + noise * rng.standard_normal((k, DIM)) / np.sqrt(DIM)
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("shape", "k"), [("circle", 7), ("circle", 12), ("line", 9), ("tree", 12)])
def test_shape_is_found_and_named(shape: str, k: int) -> None:
    hits, named = 0, 0
    for seed in range(5):
        cloud = directions(shape, k, 0.3, seed)
        rng = np.random.default_rng(seed)
        made = outcomes(cloud, 8, 199, 999, rng)
        hits += made[shape].p <= 0.01
        passing = [name for name, o in made.items() if o.p <= 0.05]
        points = nulls.principal(cloud, 8)
        order = SHAPES["circle"].order
        assert order is not None
        closure = shape_fits.closure(points, order(points))
        named += shape_fits.name(passing, shape_fits.adjusted(points, rng), closure) == shape
    assert hits == 5
    assert named >= 4


@pytest.mark.parametrize("test", ["circle", "line", "tree"])
def test_size_on_structureless_directions(test: str) -> None:
    """Among 200 Gaussian clusters a 5% test rejects about 10; 20 has probability below .002."""
    rng = np.random.default_rng(7)
    ps = []
    for _ in range(200):
        ps.append(outcomes(rng.standard_normal((9, 12)), 8, 99, 99, rng, (test,))[test].p)
    assert np.sum(np.array(ps) <= 0.05) < 20
    assert np.mean(ps) > 0.4
    if test != "circle":  # a draw has the larger of two statistics: its p is on the safe side
        assert np.mean(ps) < 0.6


def test_regular_polygon_scores_one() -> None:
    t = 2 * np.pi * np.arange(7) / 7
    heptagon = np.c_[np.cos(t), np.sin(t)][None]
    assert SHAPES["circle"].statistic(heptagon)[0] == pytest.approx(1)
    order = SHAPES["circle"].order
    assert order is not None
    assert shape_fits.closure(heptagon[0], order(heptagon[0])) == pytest.approx(1)


def test_equal_steps_on_a_line() -> None:
    points = np.arange(9.0)[:, None] - 4
    # Spearman is just below 1 (equal distances have no order); of 9 equal places 8 are steps of 1,
    # and the mean distance of two is 10/3
    assert SHAPES["line"].statistic(points[None])[0] == pytest.approx(0.7, abs=0.02)
    assert shape_fits.closure(points, np.arange(9)) == pytest.approx(8)


def test_equidistant_points_are_a_star_not_a_tree() -> None:
    simplex = np.eye(8)[None]
    assert SHAPES["tree"].statistic(simplex)[0] == pytest.approx(0, abs=1e-12)
    assert SHAPES["simplex"].statistic(simplex)[0] == pytest.approx(0, abs=1e-7)


def test_haar_null_keeps_centre_and_spectrum() -> None:
    points = nulls.principal(np.random.default_rng(0).standard_normal((10, 20)), 5)
    for draw in nulls.haar(points, 4, np.random.default_rng(1)):
        np.testing.assert_allclose(draw.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(draw.T @ draw, points.T @ points, atol=1e-10)


@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
def test_arrangements_stay_within_their_lengths(scale: float) -> None:
    rng = np.random.default_rng(0)
    rows = scale * rng.standard_normal((12, 20)) * np.arange(1, 21) ** -0.5 + rng.standard_normal(
        20
    )
    mean = rows.mean(axis=0)
    kept = arrangement(rows[None])
    draws = kept.within(nulls.centred(12, 11, 200, rng), 11)[0]
    np.testing.assert_allclose(draws.mean(axis=1), 0, atol=1e-12 * scale)
    spectrum = np.linalg.svd(rows - mean, compute_uv=False)[:11]
    gram = draws.transpose(0, 2, 1) @ draws
    same = np.broadcast_to(np.diag(spectrum**2), gram.shape)
    np.testing.assert_allclose(gram, same, atol=1e-9 * scale**2)
    assert kept.centre[0] @ kept.centre[0] + kept.outside[0] ** 2 == pytest.approx(mean @ mean)
    along = draws @ kept.centre[0] / np.linalg.norm(mean)
    far = np.sum(draws**2, axis=2) - along**2
    over = (far - np.sum(rows**2, axis=1)).max(axis=1) / np.mean(np.sum(rows**2, axis=1))
    assert np.mean(over <= 0.01 + 1e-9) > 0.95 and over.max() < 0.2
    assert np.abs(draws[0] - draws[1]).max() > 0.1 * scale


def test_planted_clusters_are_found() -> None:
    rng = np.random.default_rng(4)
    planted = [directions("circle", 7, 0.2, 1), directions("tree", 12, 0.2, 2)]
    loose = rng.standard_normal((200, DIM)).astype(np.float32)
    loose /= np.linalg.norm(loose, axis=1, keepdims=True)
    found = clusters.find(np.vstack([*planted, loose]), 4, 50, 4096, 0)
    sets = [set(cluster.members.tolist()) for cluster in found]
    assert set(range(7)) in sets
    assert len(set().union(*sets)) == sum(map(len, sets))  # disjoint
    halved = clusters.find(np.vstack([*planted, loose]), 4, 50, 100, 0)
    assert all(4 <= len(cluster.members) <= 50 for cluster in halved)


@pytest.fixture(scope="module")
def structureless() -> Any:
    """Census tables of Gaussian dictionaries, over 100 clusters, with the selection-aware null."""
    settings = GeometrySettings(draws=99, null_dictionaries=4)
    tables = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        unit = rng.standard_normal((300, 24)).astype(np.float32)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        tables.append(census.survey(unit, settings, Plain).table)
    return tables


# the dictionaries have few clusters of the sizes that the other tests need
@pytest.mark.parametrize("test", [name for name in selection.TESTS if SHAPES[name].least <= 5])
def test_selected_p_is_level_on_structureless_dictionaries(structureless: Any, test: str) -> None:
    """Clusters were picked for being clusters; p_selected must still be a p-value."""
    p = pd.concat([t.loc[t["test"] == test, "p_selected"] for t in structureless]).dropna()
    assert len(p) > 100
    assert np.mean(p <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(p))
    assert np.mean(p == 1) > 0.6  # their own null does not reject


def test_circle_in_a_dictionary_survives_selection() -> None:
    rng = np.random.default_rng(9)
    loose = rng.standard_normal((250, DIM)).astype(np.float32)
    loose /= np.linalg.norm(loose, axis=1, keepdims=True)
    unit = np.vstack([directions("circle", 7, 0.2, 1), directions("circle", 12, 0.2, 3), loose])
    settings = GeometrySettings(clusterings=("cosine",), null_dictionaries=8)
    table = census.survey(unit, settings, Plain).table
    circles = table[(table["test"] == "circle") & (table["best_model"] == "circle")]
    members = [{int(f) for f in order.split(",")} for order in circles["order"]]
    assert set(range(7)) in members and set(range(7, 19)) in members
    best = circles.nsmallest(2, "p_selected")
    assert (best["p_selected"] < 1 / best["n_selected"]).all()  # beyond every null cluster
    assert (best["n_selected"] > 30).all() and (best["closure"] < 2).all()


def test_reference_values_of_separability_and_mixture() -> None:
    """S and M of 20,000 points: Gaussian .002 and .085, circle 1.495 and .223."""
    rng = np.random.default_rng(0)
    gauss = rng.standard_normal((20_000, 2))
    t = rng.random(20_000) * 2 * np.pi
    circle = np.c_[np.cos(t), np.sin(t)]
    assert cloud.separability(gauss) == pytest.approx(0.002, abs=0.002)
    assert cloud.mixture(gauss) == pytest.approx(0.085, abs=0.004)
    assert cloud.separability(circle) == pytest.approx(1.495, abs=0.06)
    assert cloud.mixture(circle) == pytest.approx(0.223, abs=0.01)


def test_features_per_dimension_of_known_packings() -> None:
    t = 2 * np.pi * np.arange(7) / 7
    np.testing.assert_allclose(tegum.dimensionality(np.c_[np.cos(t), np.sin(t)]), 2 / 7)
    digons = np.vstack([np.eye(3), -np.eye(3)])
    np.testing.assert_allclose(tegum.dimensionality(digons), 1 / 2)
    assert spectrum.gram_eigenvalues(digons).sum() == pytest.approx(1)


def test_sequential_p_stops_at_the_tenth_hit_and_is_a_p_value() -> None:
    rng = np.random.default_rng(5)

    def draw(n: int) -> np.ndarray:
        return rng.standard_normal(n)

    p, draws = nulls.settled_p(1.0, draw, 9999)
    assert draws < 200 and p == nulls.HITS / draws
    assert nulls.settled_p(9.0, draw, 999) == (1 / 1000, 999)
    many = np.array([nulls.settled_p(z, draw, 999)[0] for z in draw(400)])
    assert np.mean(many <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_a_cluster_is_compared_with_null_clusters_of_its_size() -> None:
    z, sizes = np.random.default_rng(6).standard_normal(400), np.repeat([5, 12], 200)
    assert nulls.selected_p(5, 9.0, sizes, z) == (1 / 201, 200)
    p, count = nulls.selected_p(13, 0.0, sizes, z)
    tenth = np.flatnonzero(z[200:] >= 0)[9] + 1
    assert count == 200 and p == 10 / tenth
    p, count = nulls.selected_p(30, 0.0, sizes, z, 0.01)
    assert count == 0 and np.isnan(p)
    assert np.isnan(nulls.selected_p(5, 9.0, sizes, z, 0.004)[0])  # 200 can't show so small a p
    assert nulls.selected_p(5, 0.0, sizes, z, 0.004)[0] > 0.3


def test_a_horseshoe_is_a_line_not_a_circle() -> None:
    t = np.linspace(0, 1.5 * np.pi, 14)
    arc = np.c_[np.cos(t), np.sin(t)] - np.c_[np.cos(t), np.sin(t)].mean(axis=0)
    fitted = shape_fits.fits(arc)
    order = SHAPES["circle"].order
    assert order is not None
    assert (
        shape_fits.name(["circle", "line"], fitted, shape_fits.closure(arc, order(arc))) == "line"
    )
    along = SHAPES["line"].order
    assert along is not None
    assert list(along(arc)) in (list(range(14)), list(range(13, -1, -1)))


def test_a_shape_is_named_only_if_it_is_clearly_better_than_the_plain_ones() -> None:
    fitted = {"circle": 0.12, "line": 0.52, "tree": -0.1, "sphere": 0.7, "helix": 0.86}
    assert shape_fits.name(["circle"], fitted, 1.0) == "unresolved"  # a line, had its test passed
    assert shape_fits.name(["circle", "line"], fitted, 1.0) == "line"
    assert (
        shape_fits.name(["line", "sphere"], fitted, 1.0) == "line"
    )  # .30 is more than a third of .48
    assert shape_fits.name(["line", "sphere", "helix"], fitted, 1.0) == "helix"
    assert shape_fits.name(["sphere", "simplex"], fitted, 1.0) == "unresolved"
    assert shape_fits.name(["simplex"], fitted, 1.0) == "simplex"
    assert (
        shape_fits.name(["circle", "line"], fitted, 1.0, opening=1.9) == "circle"
    )  # the ends meet
    near = {"circle": 0.10, "line": 0.50, "tree": 0.53}
    assert shape_fits.name(["line", "tree"], near, 3.0) == "unresolved"
    assert (
        shape_fits.name(["circle", "line"], {"circle": 0.55, "line": 0.5, "tree": 0.0}, 3.0)
        == "line"
    )


def test_models_predict_what_was_left_out_only_where_their_shape_is() -> None:
    t = 2 * np.pi * np.arange(9) / 9
    ring = np.c_[np.cos(t), np.sin(t)]
    fitted = shape_fits.fits(ring)
    assert fitted["circle"] == pytest.approx(1) and fitted["circle"] > max(fitted["line"], 0.5)
    noise = np.random.default_rng(0).standard_normal((12, 30))
    assert (
        max(shape_fits.adjusted(nulls.principal(noise, 8), np.random.default_rng(1)).values()) < 0.3
    )


def test_strays_are_left_out() -> None:
    points = np.random.default_rng(1).standard_normal((20, 3))
    points[4] = 50
    assert list(nulls.inliers(points)) == [i for i in range(20) if i != 4]


def test_fiedler_vectors_are_those_of_the_eigendecomposition() -> None:
    rng = np.random.default_rng(3)
    for k in (3, 5, 8, 30):
        weight = rng.random((20, k, k)) ** 4
        weight = weight + weight.transpose(0, 2, 1)
        weight[:, np.arange(k), np.arange(k)] = 0
        laplacian = np.eye(k) * weight.sum(axis=2)[:, None] - weight
        known = np.linalg.eigh(laplacian)[1][:, :, 1]
        made = np.empty((20, k))
        fiedler.vectors(laplacian, made)
        np.testing.assert_allclose(np.abs(np.sum(made * known, axis=1)), 1, atol=1e-9)


@pytest.mark.parametrize("k", [7, 12])
def test_a_test_says_the_same_in_any_company(k: int) -> None:
    """Of other tests, and of other sets of points in its batch."""
    rng = np.random.default_rng(8)
    sets = unit_length(rng.standard_normal((40, k, DIM)))
    sets[::2] += 3 * unit_length(rng.standard_normal((20, k, 2)) @ rng.standard_normal((2, DIM)))
    batch = rejecting_z(sets, 8, 99, tuple(SHAPES), 0.09)
    rejected = 0
    for number, rows in enumerate(sets[:12]):
        together = outcomes(rows, 8, 99, 999, np.random.default_rng(0))
        for name, found in together.items():
            alone = outcomes(rows, 8, 99, 999, np.random.default_rng(0), (name,))[name]
            assert alone == found
            first = outcomes(rows, 8, 99, 99, np.random.default_rng(0), (name,))[name]
            z = batch[name][number]
            assert z == pytest.approx(found.z, abs=1e-6) if first.p <= 0.09 else z == -np.inf
            rejected += z > -np.inf
        assert all(np.isnan(batch[name][number]) for name in set(batch) - set(together))
    assert rejected > 6


@pytest.mark.parametrize("dim", [4, 40])
def test_scattered_directions_have_the_cosines_of_random_ones(dim: int) -> None:
    rng = np.random.default_rng(4)
    made, plain = (f(6, dim, 4000, rng) for f in (nulls.scattered, nulls.random_directions))
    np.testing.assert_allclose(np.linalg.norm(made, axis=2), 1)
    for a, b in ((0, 1), (2, 5), (4, 5)):
        one, other = (np.sum(rows[:, a] * rows[:, b], axis=1) for rows in (made, plain))
        assert ks_2samp(one, other).pvalue > 0.001
        assert one.std() == pytest.approx(dim**-0.5, rel=0.06)


def test_even_directions_are_a_simplex_only_if_they_were_not_chosen_by_direction() -> None:
    """Training spaces directions evenly, so that clusters of close ones have equal distances."""
    rng = np.random.default_rng(2)
    plant = np.vstack([shapes.embed(shapes.simplex(8), DIM, rng, 1.0, 0.05), random_rows(60, rng)])
    even = plant.astype(np.float32)
    settings = GeometrySettings(clusterings=("cosine",), null_dictionaries=2)
    others = partial(census.subsets, census.population(even, None)[census.OWN])
    thing = census.Object(census.OWN, even[:8], np.arange(8))
    chosen = census.object_rows(thing, others, settings, rng)
    simplex = next(row for row in chosen if row["test"] == "simplex")
    assert simplex["p_selected"] < 0.001 and simplex["passes"]
    # the same points are none among points that are all as even
    ps = []
    for seed in range(5):
        alike = shapes.embed(shapes.simplex(40), DIM, np.random.default_rng(seed), 1.0, 0.05)
        others, drawn = partial(census.subsets, alike), np.random.default_rng(seed)
        again = census.object_rows(thing, others, settings, drawn)
        ps.append(next(row for row in again if row["test"] == "simplex")["p_selected"])
    assert np.median(ps) > 0.05
    table = census.survey(even, settings, Plain).table
    alone = table[table["test"] == "simplex"]
    assert len(alone) and alone["p_selected"].isna().all() and not alone["passes"].any()
    assert alone["power"].str.startswith("no power").all()


def random_rows(n: int, rng: np.random.Generator) -> np.ndarray:
    return unit_length(rng.standard_normal((n, DIM)))


def test_settled_tests_are_left_out_of_further_rounds() -> None:
    own = np.full((2, len(SHAPES)), np.nan)
    own[:, :2] = [[0.0, 9.0], [0.5, 0.0]]
    null = np.tile(np.linspace(-3, 3, 100)[:, None], (1, len(SHAPES)))
    bins, null_bins = np.array([0, 0]), np.zeros(100, int)
    wanted = selection.unsettled(bins, own, null_bins, null)
    assert wanted.sum() == 1 and wanted[0, 1]
    assert selection.unsettled(bins, own, null_bins + 1, null)[0].sum() == 2


@pytest.mark.parametrize("k", [6, 9, 14])
@pytest.mark.parametrize("test", [n for n, s in SHAPES.items() if s.null.startswith("haar")])
def test_random_directions_of_a_dictionary_are_no_shape(test: str, k: int) -> None:
    """Directions have length one, which alone evens out a plane: against arrangements that keep
    the spectrum alone, 30 % of groups of 9 would be circles at 5 %, 12 % trees.
    """
    if k < SHAPES[test].least:
        pytest.skip("too few points for this test")
    rng, settings = np.random.default_rng(11), GeometrySettings(most_draws=199)
    every = nulls.random_directions(200, 32, 1, rng)[0]
    others = partial(census.subsets, every)
    p = []
    for _ in range(80):
        some = every[rng.choice(200, k, replace=False)]
        for found in outcomes(some, 8, 99, 199, rng, (test,)).values():
            p.append(census.selected(test, found, k, others, None, 1, settings, rng)[0])
    assert len(p) >= 79
    assert np.sum(np.array(p) <= 0.05) <= 10  # of 80; more has probability below .003
