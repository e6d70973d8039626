"""Polytopes, tegum products and simple models of superposition have the numbers of the theory."""

from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from toy_models import decoder, l1_sae, superposition

from interpsweep.geometry import tegum
from interpsweep.worlds import polytopes, structureless, toys
from markers import slow

TEGUM = [
    *["digon"] * 6, *["triangle"] * 4, *["pentagon"] * 3, *["tetrahedron"] * 3,
    "square antiprism", "heptagon",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "fraction"),
    [
        ("digon", Fraction(1, 2)), ("triangle", Fraction(2, 3)), ("square", Fraction(1, 2)),
        ("tetrahedron", Fraction(3, 4)), ("pentagon", Fraction(2, 5)), ("heptagon", Fraction(2, 7)),
        ("octahedron", Fraction(1, 2)), ("5-simplex", Fraction(5, 6)),
        ("square antiprism", Fraction(3, 8)),
    ],
)  # fmt: skip
def test_a_vertex_takes_the_known_fraction_of_a_dimension(name, fraction):
    points = polytopes.POLYTOPES[name]
    assert polytopes.FRACTIONS[name] == fraction
    assert tegum.dimensionality(points) == pytest.approx([float(fraction)] * len(points), abs=1e-12)
    assert np.linalg.norm(points, axis=1) == pytest.approx(1)


def test_polytopes_that_are_not_tight_frames():
    thomson = tegum.dimensionality(polytopes.square_antiprism(polytopes.THOMSON_HEIGHT))
    assert thomson == pytest.approx(0.3744, abs=5e-5)
    bipyramid = tegum.dimensionality(polytopes.bipyramid())
    assert bipyramid == pytest.approx([1 / 2, 1 / 2, 2 / 3, 2 / 3, 2 / 3])


def test_random_frames_have_the_expected_dimensions_per_feature():
    for n, d in ((1024, 128), (2048, 256)):  # at small d the mean of 1 / x is above
        unit = structureless.isotropic(n, d, np.random.default_rng(n))
        assert tegum.dimensionality(unit).sum() == pytest.approx(n / (1 + (n - 1) / d), rel=0.02)


@pytest.mark.parametrize(
    ("noise", "sum_of_d"), [(0.0, 34.0), (0.1, 33.6), (0.2, 32.5), (0.4, 29.3)]
)
def test_the_dimensions_of_a_tegum_product_add_up(noise, sum_of_d):
    worlds = [polytopes.tegum(TEGUM, np.random.default_rng(seed), noise=noise) for seed in range(5)]
    assert worlds[0].unit.shape == (66, 34)
    found = np.mean([tegum.dimensionality(world.unit).sum() for world in worlds])
    assert found == pytest.approx(sum_of_d, rel=0.015)


def test_statistics_of_a_tegum_product():
    rng = np.random.default_rng(0)
    world = polytopes.tegum(TEGUM, rng)
    found = tegum.measure(world.unit, world.factor)
    assert found.block_share == pytest.approx(1) and found.filled_rank == pytest.approx(1)
    assert found.rank == 34 and found.largest_cosine < 1e-12
    noisy = polytopes.tegum(TEGUM, rng, noise=0.2)
    found = tegum.measure(noisy.unit, noisy.factor)
    assert 0.8 < found.block_share < 1 and 0 < found.mean_cosine < found.largest_cosine < 0.3
    blind = tegum.measure(world.unit, rng.permutation(world.factor))
    assert blind.block_share < 0.15 and blind.largest_cosine > 0.9


@pytest.mark.parametrize(
    ("noise", "threshold", "least"),
    [(0.1, 0.1, 1.0), (0.1, 0.3, 1.0), (0.2, 0.2, 0.98), (0.2, 0.25, 1.0), (0.4, 0.3, 0.8)],
)
def test_factors_of_a_tegum_product_are_found_again(noise, threshold, least):
    worlds = [polytopes.tegum(TEGUM, np.random.default_rng(seed), noise=noise) for seed in range(5)]
    found = []
    for world in worlds:
        factor = tegum.factors(world.unit, threshold)
        alone = np.where(factor < 0, 1000 + np.arange(len(factor)), factor)
        found.append(adjusted_rand_score(world.factor, alone))
    assert np.mean(found) >= least


def test_one_hot_inputs_settle_on_a_regular_heptagon():
    w, loss = superposition(lambda _: np.eye(7), 7, 2, instances=128, steps=3000, rate=3e-3)
    best = w[loss.argmin()].T
    assert loss.min() < 1e-9
    angle = np.sort(np.degrees(np.arctan2(best[:, 1], best[:, 0])))
    gaps = np.diff(np.append(angle, angle[0] + 360))
    assert gaps == pytest.approx(360 / 7, abs=0.3)
    assert tegum.dimensionality(best) == pytest.approx(0.286, abs=0.005)
    # no less than 1 / (1 - cos(2 pi / 7)): the squared norm at which neighbours stay silent
    assert np.sum(best**2, axis=1) == pytest.approx(2.656, rel=0.01)


@pytest.mark.parametrize(
    ("kind", "pairs", "dim", "p", "steps", "all_runs", "best_runs"),
    [
        ("anticorrelated", 3, 3, 0.05, 1500, 0.26, 1.0),  # chance: 1 of 5
        slow("independent", 3, 3, 0.05, 1500, 0.24, None),
        slow("correlated", 3, 3, 0.05, 1500, 0.0, 0.0),
        slow("anticorrelated", 3, 3, 0.2, 1500, 0.31, 1.0),
        slow("anticorrelated", 6, 4, 0.2, 4000, 0.38, 0.88),  # chance: 1 of 11
    ],
)
def test_anticorrelated_pairs_share_a_digon_where_the_loss_is_least(
    kind, pairs, dim, p, steps, all_runs, best_runs
):
    """Share of features whose own partner is opposite, in all runs and in the best of them."""
    w, loss = superposition(
        lambda step: toys.pairs(kind, pairs, p, 256, np.random.default_rng([1, step])),
        2 * pairs, dim, instances=64, steps=steps,
    )  # fmt: skip
    unit = w / np.linalg.norm(w, axis=1, keepdims=True)
    opposite = np.einsum("imn,imk->ink", unit, unit).argmin(axis=2)
    own = np.mean(opposite == (np.arange(2 * pairs) ^ 1), axis=1)
    assert own.mean() == pytest.approx(all_runs, abs=0.08)
    if best_runs is not None:
        assert own[loss.argsort()[:6]].mean() == pytest.approx(best_runs, abs=0.03)


@pytest.mark.parametrize(
    ("p", "dimensions"),
    [slow(1.0, 0.99), slow(0.3, 0.49), (0.1, 0.27), (0.03, 0.19), (0.01, 0.175)],
)
def test_sparser_features_share_dimensions_among_more_of_them(p, dimensions):
    """Dimensions per feature m / |W|^2 of 20 features in 5 dimensions, by the share that is on."""

    def batch(step):
        rng = np.random.default_rng([3, step])
        return (rng.random((512, 20)) < p) * rng.random((512, 20))

    w, _ = superposition(batch, 20, 5, instances=3, steps=1200)
    assert np.mean(5 / np.sum(w**2, axis=(1, 2))) == pytest.approx(dimensions, rel=0.1)


@pytest.mark.slow
def test_an_l1_sae_extracts_one_hot_features_inside_tegum_factors():
    names = ["digon", "digon", "triangle", "triangle", "pentagon"]
    world = polytopes.tegum(names, np.random.default_rng(0))
    sizes = np.bincount(world.factor).tolist()
    codes = toys.one_hots(100_000, sizes, 0.1, np.random.default_rng(1))
    x = codes @ world.unit

    def batch(step):
        return x[np.random.default_rng([2, step]).integers(len(x), size=512)]

    found = decoder(l1_sae(batch, x.shape[1], 22, 0.2, 4000, seed=0))
    nearest = (world.unit @ found.T).max(axis=1)
    other = polytopes.tegum(names, np.random.default_rng(9)).unit
    assert (world.unit @ other.T).max(axis=1).mean() < 0.75  # what chance gives
    assert nearest.mean() > 0.99
