"""How latents share out the plane of a concept, on latents whose share is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.optimize import linprog

from interpsweep.columns import TILING
from interpsweep.geometry import recovery
from interpsweep.vectors import unit_length

DIM = 24


def plane(rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((DIM, 2)))[0].T


def around(angle: np.ndarray) -> np.ndarray:
    return np.c_[np.cos(angle), np.sin(angle)]


def regular(m: int) -> np.ndarray:
    return around(0.3 + 2 * np.pi * np.arange(m) / m)


def price(atoms: np.ndarray, points: int) -> float:
    """The least L1 norm of non-negative codes of points on the circle, by linear programming."""
    goals = around(2 * np.pi * (np.arange(points) + 0.5) / points)
    return float(np.mean([linprog(np.ones(len(atoms)), A_eq=atoms.T, b_eq=x).fun for x in goals]))


@pytest.mark.parametrize(("m", "published"), [(4, 1.273), (5, 1.156), (10, 1.034)])
def test_regular_tilings_cost_the_published_norm(m: int, published: float) -> None:
    gaps = recovery.angle_gaps(regular(m))
    assert gaps == pytest.approx(np.full(m, 2 * np.pi / m))
    assert recovery.mean_l1(gaps) == pytest.approx(published, abs=5e-4)
    assert recovery.mean_l1(gaps) == pytest.approx(m / np.pi * np.tan(np.pi / m))


def test_irregular_tilings_cost_what_linear_programs_say() -> None:
    angle = np.array([0.1, 0.9, 2.3, 3.0, 5.1])
    found = recovery.mean_l1(recovery.angle_gaps(around(angle)))
    assert found == pytest.approx(price(around(angle), 600), rel=1e-3)
    assert found > recovery.mean_l1(recovery.angle_gaps(regular(5)))


def test_latents_that_leave_half_a_circle_bare_cannot_rebuild_it() -> None:
    for angle in ([0.0, 1.0, 2.0], [0.0, np.pi], []):
        assert np.isnan(recovery.mean_l1(recovery.angle_gaps(around(np.array(angle)))))


def test_a_circle_of_latents_tiles_its_plane() -> None:
    rng = np.random.default_rng(0)
    axes = plane(rng)
    unit = unit_length(np.vstack([regular(7) @ axes, rng.standard_normal((40, DIM))]))
    row = recovery.capture(axes, unit, np.arange(7), np.full(47, 2 / 7))
    assert set(row) == set(TILING)
    assert row["plane_capture"] == pytest.approx(1) and row["plane_energy"] == pytest.approx(1)
    assert row["plane_capture_null"] == pytest.approx(2 / DIM)  # seven latents, two dimensions
    assert row["tiling"] == 7 and row["tiling_gap_cv"] == pytest.approx(0, abs=1e-6)
    assert row["tiling_l1"] == pytest.approx(7 / np.pi * np.tan(np.pi / 7))
    # of seven latents the two next to a point are on
    assert row["tiling_l0"] == pytest.approx(2) and row["concept_l0"] == pytest.approx(94 / 7)


def test_latents_may_capture_a_plane_in_which_none_of_them_lies() -> None:
    """Latents at an angle of sixty degrees to the plane, all the same way out of it."""
    rng = np.random.default_rng(0)
    three = np.linalg.qr(rng.standard_normal((DIM, 3)))[0].T
    unit = np.c_[regular(7) / 2, np.full(7, np.sqrt(3) / 2)] @ three
    row = recovery.capture(three[:2], unit, np.arange(7), np.ones(7))
    assert row["plane_capture"] == pytest.approx(1) and row["plane_energy"] == pytest.approx(1 / 4)
    assert row["tiling"] == 0 and np.isnan(row["tiling_l1"]) and np.isnan(row["tiling_gap_cv"])


def test_random_latents_capture_what_the_null_says_and_are_spaced_like_random_angles() -> None:
    rng = np.random.default_rng(0)
    axes, found = plane(rng), []
    for _ in range(400):
        unit = unit_length(rng.standard_normal((6, DIM)))
        found.append(recovery.capture(axes, unit, np.arange(6), np.ones(6)))
    own = np.array([row["plane_capture"] for row in found])
    assert found[0]["plane_capture_null"] == 6 / DIM
    assert own.mean() == pytest.approx(6 / DIM, abs=4 * own.std() / 20)
    gaps = [recovery.angle_gaps(around(rng.random(9) * 2 * np.pi)) for _ in range(4000)]
    squared = np.mean([(g.std() / g.mean()) ** 2 for g in gaps])
    assert squared == pytest.approx(8 / 10, rel=0.03)  # (m - 1) / (m + 1)


def test_only_latents_that_fire_on_the_concept_tile_it_and_nothing_is_said_without_a_plane() -> (
    None
):
    axes = plane(np.random.default_rng(0))
    unit = regular(6) @ axes
    assert (
        recovery.capture(axes, unit, np.array([0, 2]), np.array([1, 0, 1, 0, 1, 0]))["tiling"] == 3
    )
    for row in (
        recovery.capture(None, unit, np.arange(6), np.ones(6)),
        recovery.capture(axes, unit, np.zeros(0, int), np.ones(6)),
    ):
        assert np.isnan(row["plane_capture"]) and row["tiling"] == 0
    line = recovery.capture(axes[:1], unit, np.arange(6), np.ones(6))
    assert line["plane_capture"] == pytest.approx(1) and np.isnan(line["tiling_l1"])


def test_planes_are_those_of_the_site(tmp_path: Path) -> None:
    axes = np.ascontiguousarray(plane(np.random.default_rng(0)), np.float32)
    save_file({"day": axes}, tmp_path / "planes.safetensors")
    np.testing.assert_array_equal(recovery.planes_of(tmp_path)["day"], axes)
