"""Circles in toy data: how SAEs tile them, and when the geometry is that of the correlations."""

import numpy as np
import pytest
from toy_models import decoder, l1_sae, superposition

from interpsweep.worlds import toys
from markers import slow


def angle_gaps(latents, plane):
    """Gaps (degrees) between the latents that lie in the plane, in circular order."""
    inside = latents[np.sum((latents @ plane.T) ** 2, axis=1) > 0.9] @ plane.T
    angle = np.sort(np.degrees(np.arctan2(inside[:, 1], inside[:, 0])))
    return np.diff(np.append(angle, angle[0] + 360))


def trained(days, steps, penalty=0.05):
    world = toys.circle(300_000, np.random.default_rng(0), days=days)

    def batch(step):
        return world.x[np.random.default_rng([3, step]).integers(len(world.x), size=1024)]

    return world, l1_sae(batch, 32, 16, penalty, steps, seed=0)


@pytest.mark.slow
def test_a_continuous_circle_is_tiled_by_four_latents_at_right_angles():
    world, trainer = trained(days=0, steps=4000)
    latents = decoder(trainer)
    gaps = angle_gaps(latents, world.plane)
    assert gaps == pytest.approx([90] * 4, abs=1.0)
    assert (np.abs(latents @ world.others.T).max(axis=0) > 0.99).all()  # 12 of 12 others
    variance = world.x.var(axis=0).sum()
    assert trainer.log[-1][3] / variance < 2e-3


@pytest.mark.slow
def test_a_discrete_circle_is_tiled_less_evenly():
    world, trainer = trained(days=7, steps=2500)
    gaps = angle_gaps(decoder(trainer), world.plane)
    assert 4 <= len(gaps) <= 14
    assert np.abs(gaps - 360 / len(gaps)).max() > 1.0


def circulant_share(gram):
    """Share of the off-diagonal variance of a Gram matrix that the circular distance explains."""
    n = len(gram)
    i, j = np.triu_indices(n, 1)
    steps, values = np.minimum(j - i, n - (j - i)), gram[i, j]
    mean = np.bincount(steps, values) / np.maximum(np.bincount(steps), 1)
    return 1 - np.sum((values - mean[steps]) ** 2) / np.sum((values - values.mean()) ** 2)


@pytest.mark.parametrize(
    ("m", "relu", "share", "correlation"),
    [
        (6, False, (0.62, 0.78), 0.53),
        slow(4, False, (0.98, 1.0), 0.70),
        slow(6, True, (0.3, 0.7), 0.41),
    ],
)
def test_bags_of_words_on_a_circle_get_the_geometry_of_their_correlations(
    m, relu, share, correlation
):
    x = toys.bows(60_000, 12, np.random.default_rng(0))
    known = np.corrcoef(x.T)

    def batch(step):
        return x[np.random.default_rng([1, step]).integers(len(x), size=256)]

    w, _ = superposition(batch, 12, m, instances=6, steps=1500, rate=5e-3, relu=relu)
    grams = np.einsum("imn,imk->ink", w, w)
    i, j = np.triu_indices(12, 1)
    assert share[0] <= np.median([circulant_share(g) for g in grams]) <= share[1]
    found = np.mean([np.corrcoef(g[i, j], known[i, j])[0, 1] for g in grams])
    assert found == pytest.approx(correlation, abs=0.04)


def test_independent_words_have_no_circular_geometry():
    x = toys.bows(60_000, 12, np.random.default_rng(0))
    x = np.random.default_rng(1).permuted(x, axis=0)

    def batch(step):
        return x[np.random.default_rng([1, step]).integers(len(x), size=256)]

    w, _ = superposition(batch, 12, 4, instances=6, steps=800, rate=5e-3)
    shares = [circulant_share(g) for g in np.einsum("imn,imk->ink", w, w)]
    assert np.mean(shares) <= 0.11


@pytest.mark.parametrize(("latents", "mean_l1"), [(4, 1.273), (5, 1.156), (10, 1.034)])
def test_the_l1_norm_of_a_tiled_circle_has_a_closed_form(latents, mean_l1):
    """Exact codes of points between two of m equally spaced latents: (2 / delta) tan(delta / 2)."""
    delta = 2 * np.pi / latents
    angle = (np.arange(20_000) + 0.5) / 20_000 * delta
    pair = np.array([[1, 0], [np.cos(delta), np.sin(delta)]])
    codes = np.linalg.solve(pair.T, np.stack([np.cos(angle), np.sin(angle)]))
    assert (codes >= -1e-12).all()
    assert codes.sum(axis=0).mean() == pytest.approx(mean_l1, abs=5e-4)
    assert codes.sum(axis=0).mean() == pytest.approx(2 / delta * np.tan(delta / 2), rel=1e-6)
