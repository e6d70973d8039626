"""Loops and dimension of clouds of known shape."""

from __future__ import annotations

import numpy as np
import pytest

from interpsweep.geometry import homology


def ring(n: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    t = rng.random(n) * 2 * np.pi
    points = np.zeros((n, 8))
    points[:, :2] = np.c_[np.cos(t), np.sin(t)]
    points[:, 2] = 1  # off the origin, as activations with a common direction are
    length = rng.uniform(0.5, 2, (n, 1))
    return length * (points + noise * rng.standard_normal(points.shape)), t


@pytest.mark.parametrize("seed", range(3))
def test_a_ring_is_one_significant_loop_with_its_angle(seed: int) -> None:
    points, t = ring(200, 0.1, seed)
    found = homology.loops(points)
    assert found.p < 0.001 and found.power == ""
    turned = [np.exp(1j * (found.angle - s * t[found.rows])) for s in (1, -1)]
    assert max(abs(np.mean(z)) for z in turned) > 0.95  # circular correlation
    spread = homology.angles(points, points[found.rows], found.angle)
    assert max(abs(np.mean(np.exp(1j * (spread - s * t)))) for s in (1, -1)) > 0.9


def test_clouds_without_a_loop_have_none() -> None:
    rng = np.random.default_rng(0)
    p = [homology.loops(rng.standard_normal((120, 5))).p for _ in range(25)]
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 25)


def test_few_points_or_bars_have_no_power() -> None:
    few = homology.loops(ring(20, 0.1, 0)[0])
    assert np.isnan(few.p) and few.power == "no power below 30 points"
    line = np.c_[np.linspace(1, 2, 60), np.linspace(2, 1, 60)]
    assert homology.loops(line).power == "no power below 5 bars"


def test_dimension_of_a_sphere_and_a_gaussian() -> None:
    rng = np.random.default_rng(0)
    sphere = homology.directions(rng.standard_normal((2000, 3)))
    assert homology.two_nn(sphere) == pytest.approx(2.08, abs=0.15)
    assert homology.two_nn(rng.standard_normal((2000, 5))) == pytest.approx(5.14, abs=0.4)
