"""Measures of whole dictionaries on worlds where the answer is known."""

import numpy as np
import pytest
import scipy.sparse as sp
from plain import Matrix

from interpsweep.config.landscape import LandscapeSettings
from interpsweep.context import Context
from interpsweep.geometry import angles, landscape, lobes, tegum
from interpsweep.numerics import twins
from interpsweep.saes.joint import among, without_itself
from interpsweep.worlds import polytopes, structureless


def rng(seed=0):
    return np.random.default_rng(seed)


def topics(n=80, groups=4, rows=4000, seed=0):
    """Codes of latents that fire in the blocks of their topic only, and their topic."""
    topic = np.arange(n) % groups
    now = np.repeat(rng(seed).integers(groups, size=rows // 20), 20)
    on = rng(seed + 1).random((rows, n)) < np.where(topic == now[:, None], 0.15, 0.005)
    return Matrix(sp.csr_matrix(on.astype(np.float32)), len(on) // 2), topic


def near_topics(topic, dim, weight, seed=0):
    centre = rng(seed).standard_normal((topic.max() + 1, dim))
    rows = weight * centre[topic] + rng(seed + 1).standard_normal((len(topic), dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_slope_of_a_power_law_is_found_within_its_interval():
    unit = structureless.anisotropic(20_000, 128, rng(), slope=-0.6)
    found = landscape.fit_slope(unit)
    assert found.slope == pytest.approx(-0.6, abs=0.05) and found.low < found.slope < found.high
    assert found.ranks == 119  # 10 to 128
    assert np.isnan(landscape.fit_slope(unit[:, :16]).slope)  # too few ranks for a fit


def test_polytopes_stand_out_from_a_smooth_distribution_of_d():
    names = ["digon"] * 10 + ["triangle"] * 5 + ["pentagon"] * 4
    assert tegum.polytope_excess(polytopes.tegum(names, rng()).unit) == 1
    assert abs(tegum.polytope_excess(structureless.anisotropic(2000, 64, rng()))) < 0.1


def test_tegum_factors_are_found_again():
    names = ["digon"] * 6 + ["triangle"] * 4 + ["pentagon"] * 3
    world = polytopes.tegum(names, rng(), noise=0.1)
    found = tegum.factors(world.unit, 0.2)
    assert len(np.unique(found)) == len(names)
    assert len(set(zip(found, world.factor, strict=True))) == len(names)
    alone = np.vstack([polytopes.tegum(["digon"], rng(), dim=5).unit, np.eye(5)[4:]])
    assert (tegum.factors(np.eye(4), 0.2) == -1).all() and len(alone) == 3
    assert (
        0.35 < tegum.null_threshold(500, 64, 0.999, rng()) < 0.45
    )  # sqrt(4 ln n / d) = .62 at most


def test_isotropy_and_hubs_of_even_and_uneven_directions():
    even = structureless.isotropic(3000, 32, rng())
    drawn = even + 0.5 * np.eye(32)[0]
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    assert landscape.partition_ratio(even) > 0.95 > 0.6 > landscape.partition_ratio(drawn)
    assert abs(landscape.mean_cosine(even)) < 0.01 < 0.15 < landscape.mean_cosine(drawn)
    circle = np.column_stack([np.cos(t := 2 * np.pi * np.arange(50) / 50), np.sin(t)])
    assert (landscape.occurrences(circle, 2) == 2).all() and landscape.hubness(circle, 2) == 0
    assert landscape.hubness(drawn, 10) > 1 > landscape.hubness(even, 10)  # near the centre


def test_co_firing_is_counted_exactly_per_token_and_per_block():
    dense = (rng().random((600, 12)) < 0.2).astype(float)
    found = among(Matrix(sp.csr_matrix(dense), len(dense) // 2), np.array([1, 4, 7]), Context(), 1)
    np.testing.assert_array_equal(found.both, dense[:, [1, 4, 7]].T @ dense[:, [1, 4, 7]])
    assert found.rows == 600
    assert found.phi()[0, 1] == pytest.approx(np.corrcoef(dense[:, 1], dense[:, 4])[0, 1])
    blocks = dense.reshape(-1, 20, 12).max(axis=1)
    found = among(Matrix(sp.csr_matrix(dense), len(dense) // 2), np.arange(12), Context(), 20)
    np.testing.assert_array_equal(found.both, blocks.T @ blocks)


def test_angles_are_explained_by_co_firing_where_they_follow_it_and_not_elsewhere():
    codes, topic = topics()
    counted = among(codes, np.arange(80), Context())
    follow = near_topics(topic, 64, 1.0)
    found = angles.explained(follow @ follow.T, counted, 99, rng())
    assert found.value > 0.4 and found.value > found.null.max()
    free = structureless.isotropic(80, 64, rng(5))
    found = angles.explained(free @ free.T, counted, 99, rng())
    assert abs(found.value) < 0.02 and (found.null >= found.value).mean() > 0.05


def test_antipodes_are_exclusive_where_they_were_made_so():
    values = rng().random((3000, 20)) < 0.2
    second = values & (rng(1).random((3000, 20)) < 0.5)
    on = np.stack([values & ~second, second], axis=2).reshape(3000, 40).astype(float)
    unit = (
        np.repeat(structureless.isotropic(20, 64, rng(2)), 2, axis=0)
        * np.tile([1, -1], 20)[:, None]
    )
    counted = among(Matrix(sp.csr_matrix(on), len(on) // 2), np.arange(40), Context())
    found = angles.antipodal_exclusive(
        unit @ unit.T, without_itself(counted.phi()), counted.first, -0.5, 99, rng()
    )
    assert found.value == 1 and found.size == 40 and found.null.mean() < 0.8
    factor = tegum.factors(unit, 0.5)
    shared = angles.shared_factor(factor, without_itself(counted.phi()), counted.first, 99, rng())
    assert shared.value > 2 > shared.null.max() and shared.size == 20
    nothing = angles.shared_factor(
        np.full(40, -1), without_itself(counted.phi()), counted.first, 9, rng()
    )
    assert np.isnan(nothing.value) and len(nothing.null) == 0


def test_lobes_agree_where_firing_and_direction_share_their_groups():
    codes, topic = topics()
    phi = without_itself(among(codes, np.arange(80), Context(), 20).phi())
    together = lobes.measure(near_topics(topic, 32, 1.5), phi, 4, 49, 9, 0, rng())
    assert together.agreement > 0.9 and together.agreement > together.agreement_null.max()
    assert together.accuracy > 0.9 > together.accuracy_null.max() and together.smallest == 20
    apart = lobes.measure(structureless.isotropic(80, 32, rng(3)), phi, 4, 49, 9, 0, rng())
    assert abs(apart.agreement) < 0.15


def test_p_values_count_draws_as_extreme():
    made = landscape.against("name", 3.0, "null", np.array([0.0, 1.0, 4.0]), 7)
    assert made.p == 0.5 and made.null_mean == pytest.approx(5 / 3) and made.size == 7
    assert landscape.against("name", 3.0, "null", np.arange(9.0), 1, "lower").p == 0.5
    assert landscape.against("name", 0.0, "null", np.arange(9.0), 1, "both").p == pytest.approx(0.3)
    assert np.isnan(landscape.against("name", np.nan, "null", np.arange(3.0), 1).p)


def test_measures_of_directions_say_little_about_random_ones_and_much_about_uneven_ones():
    settings = LandscapeSettings(dictionaries=19)
    every = np.arange(400)
    random = structureless.isotropic(400, 64, rng())
    even = {m.measure: m for m in landscape.directions_alone(random, every, settings)}
    assert all(abs(m.z) < 3.5 for m in even.values() if np.isfinite(m.z))
    uneven = structureless.anisotropic(400, 64, rng())
    found = {m.measure: m for m in landscape.directions_alone(uneven, every, settings)}
    assert found["spectrum_slope"].p == found["mean_cosine"].p == 0.05
    assert found["spectrum_slope"].high < even["spectrum_slope"].low
    again = landscape.directions_alone(uneven, every, settings)
    assert [m.value for m in again] == [m.value for m in found.values()]


def test_twins_have_the_centre_and_spectrum_of_their_original():
    unit = structureless.anisotropic(300, 32, rng())
    twin = twins.Twins(unit).draw(len(unit), rng(1))
    assert np.linalg.norm(twin, axis=1) == pytest.approx(1)
    assert np.linalg.eigvalsh(np.cov(twin.T)) == pytest.approx(
        np.linalg.eigvalsh(np.cov(unit.T)), rel=0.02
    )
    assert np.abs(np.sum(twin * unit, axis=1)).mean() < 0.4  # other directions
