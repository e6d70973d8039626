"""Labelled concepts: order tests, probes and class means on worlds of known answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain import Plain

from interpsweep.config.analysis import ConceptsSettings
from interpsweep.geometry import class_means, concepts, orders

DIM, CHUNK = 24, 1000


def embedded(points: np.ndarray, noise: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    return points @ frame[: points.shape[1]] + noise * rng.standard_normal((len(points), DIM))


def ring(k: int) -> np.ndarray:
    t = 2 * np.pi * np.arange(k) / k
    return np.c_[np.cos(t), np.sin(t)]


def components(means: np.ndarray) -> np.ndarray:
    return orders.centred_components(means, 6)


@pytest.mark.parametrize("k", [5, 7, 8])
def test_exact_orders_of_a_circle(k: int) -> None:
    result = orders.circle(components(embedded(ring(k), 0.02, k)), 8, 99, np.random.default_rng(0))
    assert result.exact and result.permutations == orders.count_orders(k, cyclic=True)
    assert result.p == pytest.approx(result.p_floor) and result.statistic > 0.99


def test_circle_of_twelve_by_random_orders() -> None:
    means = embedded(ring(12), 0.05, 3)
    result = orders.circle(components(means), 8, 1999, np.random.default_rng(0))
    assert not result.exact and result.p == pytest.approx(1 / 2000)
    assert orders.harmonic_share(means) > 0.9


def test_shuffled_circle_is_not_in_order() -> None:
    means = embedded(ring(12), 0.05, 3)[np.random.default_rng(1).permutation(12)]
    assert orders.circle(components(means), 8, 999, np.random.default_rng(0)).p > 0.05


@pytest.mark.parametrize("k", [6, 20])
def test_line_in_order(k: int) -> None:
    curve = np.c_[np.linspace(-1, 1, k), np.linspace(-1, 1, k) ** 2]  # a horseshoe is a line too
    points = components(embedded(curve, 0.02, k))
    result = orders.line(points, 8, 1999, np.random.default_rng(0))
    assert result.p < 0.005 and orders.end_gap(points) > 2


def test_nested_values() -> None:
    rng = np.random.default_rng(5)
    parent = np.repeat(np.arange(4), 3)
    means = np.eye(4)[parent] + 0.3 * rng.standard_normal((12, 4))
    points = components(embedded(means, 0.02, 5))
    assert orders.tree(points, parent, 1999, rng).p < 0.002
    assert orders.tree(points, rng.permutation(parent), 1999, rng).p > 0.02


@pytest.mark.parametrize("test", ["circle", "line", "tree"])
def test_p_is_uniform_without_structure(test: str) -> None:
    """200 sets of Gaussian means: a 5% test rejects 10 on average; more than 20 has p < .002."""
    rng = np.random.default_rng(11)
    ps = []
    for _ in range(200):
        points = components(rng.standard_normal((7, DIM)))
        if test == "tree":
            ps.append(orders.tree(points, np.arange(7) % 3, 199, rng).p)
        else:
            ps.append(getattr(orders, test)(points, 8, 199, rng).p)
    assert np.sum(np.array(ps) <= 0.05) <= 20
    assert abs(np.mean(ps) - 0.5) < 0.08


class Rows:
    """Activations in memory."""

    chunk_rows = CHUNK

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.x[start:stop]


class Tagged:
    """Tokens with labels and nothing else."""

    def __init__(self, labels: dict[str, np.ndarray], shapes: dict[str, dict[str, Any]]) -> None:
        self._labels, self.concepts = labels, shapes
        self.flat = np.arange(len(next(iter(labels.values()))))
        self.context = self.flat // 20

    def label(self, name: str, rows: Any = slice(None)) -> np.ndarray:
        return self._labels[name][rows]


@pytest.fixture(scope="module")
def world() -> tuple[Rows, Tagged]:
    rng = np.random.default_rng(2)
    label = rng.integers(-1, 7, 6000).astype(np.int16)
    noise_label = rng.integers(-1, 5, 6000).astype(np.int16)
    x = 0.3 * rng.standard_normal((6000, DIM))
    x[:, :2] += np.where(label[:, None] >= 0, ring(7)[label], 0)
    flat = {"parent": None, "parent_of": None}
    shapes = {
        "day": {"shape": "circle", "values": list("abcdefg"), **flat},
        "noise": {"shape": "line", "values": list("abcde"), **flat},
    }
    return Rows(x.astype(np.float32)), Tagged({"day": label, "noise": noise_label}, shapes)


def test_moments_are_the_direct_sums(world: tuple[Rows, Tagged]) -> None:
    rows, tokens = world
    found = class_means.moments(rows, tokens, 0, Plain)["day"]
    label, even = tokens.label("day"), tokens.context % 2 == 0
    mine = rows.x[(label == 3) & even].astype(np.float64)
    np.testing.assert_allclose(found.sums[0, 3], mine.sum(axis=0), rtol=1e-9)
    assert found.counts[0, 3] == len(mine)


def test_probe_matches_direct_regression(world: tuple[Rows, Tagged]) -> None:
    rows, tokens = world
    found = class_means.moments(rows, tokens, 0, Plain)
    label, odd = tokens.label("day"), tokens.context % 2 == 1
    x, y = rows.x[label >= 0].astype(np.float64), ring(7)[label[label >= 0]]
    test = odd[label >= 0]
    design = np.c_[x, np.ones(len(x))]
    weights = np.linalg.lstsq(design[~test], y[~test], rcond=None)[0]
    left = y[test] - design[test] @ weights
    direct = 1 - np.sum(left**2) / np.sum((y[test] - y[test].mean(axis=0)) ** 2)
    ours = class_means.held_out_r2(found["day"], class_means.targets("circle", 7), 1e-9)
    assert ours == pytest.approx(direct, abs=1e-6) and ours > 0.7
    assert abs(class_means.held_out_r2(found["noise"], class_means.targets("line", 5), 1e-3)) < 0.05


def test_separation_and_shape_of_the_world(world: tuple[Rows, Tagged]) -> None:
    rows, tokens = world
    found = class_means.moments(rows, tokens, 0, Plain)
    apart = class_means.separation(rows, tokens, 0, found, Plain)
    assert apart["day"] > 0.5 and abs(apart["noise"]) < 0.05
    kept = {name: concepts.keep(m, 20) for name, m in found.items()}
    settings = ConceptsSettings(draws=499)
    day, picture, plane = concepts.examine(
        "day", tokens.concepts["day"], kept, found["day"], tokens.concepts, settings
    )
    assert day["p"] == pytest.approx(1 / 360) and day["closure"] < 1.3
    assert picture["label"].tolist() == list("abcdefg")
    assert plane.flags.c_contiguous and plane @ plane.T == pytest.approx(np.eye(2), abs=1e-5)
    at = (kept["day"].means - kept["day"].means.mean(axis=0)) @ plane.T
    np.testing.assert_allclose(at, picture[["x", "y"]], atol=1e-5)
    noise, _, _ = concepts.examine(
        "noise", tokens.concepts["noise"], kept, found["noise"], tokens.concepts, settings
    )
    assert noise["p"] > 0.05
