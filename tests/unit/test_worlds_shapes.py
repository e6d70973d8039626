"""Planted arrangements and structureless worlds are what their names say."""

import numpy as np
import pytest

from interpsweep.worlds import shapes, structureless, toys


def rng(seed=0):
    return np.random.default_rng(seed)


def test_arrangements_have_their_shape():
    assert np.linalg.norm(shapes.circle(30, rng()), axis=1) == pytest.approx(1)
    simplex = shapes.simplex(5)
    assert simplex @ simplex.T == pytest.approx(np.eye(5) * 1.25 - 0.25)
    assert shapes.torus(4, 6).shape == (24, 4) and shapes.grid(3, 5).shape == (15, 2)
    assert np.linalg.norm(shapes.fibonacci(40), axis=1) == pytest.approx(1)
    assert np.linalg.norm(shapes.helix(9)[:, :2], axis=1) == pytest.approx(1)
    steps = np.diff(shapes.helix(9), axis=0)
    assert np.linalg.norm(steps, axis=1) == pytest.approx(np.linalg.norm(steps[0]))


def test_leaves_of_a_tree_are_as_far_apart_as_their_ancestor_is_old():
    leaves = shapes.tree([2, 2, 3], 0.5, rng())
    squared = ((leaves[:, None] - leaves[None]) ** 2).sum(axis=2)
    sisters, cousins, strangers = squared[0, 1], squared[0, 3], squared[0, 6]
    assert sisters == pytest.approx(2 * 0.5**4)
    assert cousins == pytest.approx(sisters + 2 * 0.5**2)
    assert strangers == pytest.approx(cousins + 2)


def test_planted_shapes_stand_together_and_can_be_found_again():
    world = shapes.plant({"circle": shapes.polygon(12), "line": shapes.line(8)}, 50, 64, rng())
    assert world.unit.shape == (70, 64) and np.bincount(world.group + 1).tolist() == [50, 12, 8]
    cosines = world.unit @ world.unit.T
    assert np.diag(cosines) == pytest.approx(1)
    inside = world.group == 0
    assert cosines[np.ix_(inside, inside)].mean() > 0.4
    assert abs(cosines[np.ix_(inside, world.group == 1)].mean()) < 0.2
    again = shapes.plant({"circle": shapes.polygon(12), "line": shapes.line(8)}, 50, 64, rng())
    assert (again.unit == world.unit).all()


def test_structureless_directions_are_unit_and_have_the_spectrum_that_was_asked_for():
    real = structureless.anisotropic(2000, 24, rng())
    spectrum = np.linalg.eigvalsh(np.cov(real.T))[::-1]
    assert spectrum[0] / spectrum[-1] > 8
    for rows in (
        structureless.matched(real, 2000, rng(1)),
        structureless.shuffled(real, 2000, rng(2)),
    ):
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1)
        assert np.linalg.eigvalsh(np.cov(rows.T))[::-1][:6] == pytest.approx(spectrum[:6], rel=0.25)
    with pytest.raises(ValueError, match="directions asked for"):
        structureless.shuffled(real[:5], 6, rng())


def test_phantoms_have_an_order_whose_ends_do_not_meet():
    n = 200
    rows = structureless.phantom(n, 64, rng(3))
    order = rng(3)
    order.standard_normal((n, 64)), order.standard_normal((n, 64))
    place = order.permutation(n)  # row i stands at place[i]
    sorted_rows = rows[np.argsort(place)]
    cosines = sorted_rows @ sorted_rows.T
    assert np.diag(cosines, 1).mean() > 0.5
    assert abs(cosines[:10, -10:].mean()) < 0.2


def test_superposed_features_are_independent_and_of_many_frequencies():
    world = structureless.superposition(100, 32, 20_000, rng())
    on = (world.codes > 0).astype(float)
    rate = np.asarray(on.mean(axis=0)).ravel()
    assert rate.sum() == pytest.approx(4, rel=0.1) and rate.max() > 30 * rate.min()
    often = on[:, np.argsort(-rate)[:20]].toarray()
    correlation = np.corrcoef(often.T) - np.eye(20)
    assert np.abs(correlation).max() < 0.05


def test_pairs_are_on_as_declared():
    both = toys.pairs("correlated", 3, 0.2, 5000, rng()) > 0
    assert (both[:, ::2] == both[:, 1::2]).all()
    either = toys.pairs("anticorrelated", 3, 0.2, 5000, rng()) > 0
    assert not (either[:, ::2] & either[:, 1::2]).any()
    assert (either[:, ::2] | either[:, 1::2]).mean() == pytest.approx(0.2, abs=0.02)
    free = toys.pairs("independent", 3, 0.2, 5000, rng()) > 0
    assert (free[:, ::2] & free[:, 1::2]).mean() == pytest.approx(0.04, abs=0.01)
    one = toys.one_hots(1000, [2, 5], 0.5, rng()) > 0
    assert one[:, :2].sum(axis=1).max() == 1 and one[:, 2:].sum(axis=1).max() == 1
