"""Points along a helix: a line and a circle in one order, and both are needed."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry.shapes import line
from interpsweep.geometry.shapes.spread import scaled

LEAST_TURNS, STEP = 1.0, 0.25  # turns that are tried: in such steps, up to k / 6 of them
REFINED = 2  # times that the order is read off the fit
PER_TURN = 6  # fewest points of a turn
SPACE = 4  # leading components that the curve may fill
Points = NDArray[np.float64]


def _axes() -> Points:
    """Directions from the centre of a cube to faces, edges and corners, without opposites."""
    every = np.array([v for v in product((-1, 0, 1), repeat=3) if v > (0, 0, 0)], float)
    return every / np.linalg.norm(every, axis=1, keepdims=True)


AXES = _axes()  # (13, 3)


class Bases(NamedTuple):
    """Orthonormal bases over k evenly spaced places: of the circles alone (w, k, 2), of circle and
    line (w, k, 3), and of the line (k,); `turns` (w,).
    """

    turns: Points
    circle: Points
    helix: Points
    line: Points


class Fit(NamedTuple):
    """The best helix through each of B sets of points: order (B, k), turns' place in `bases`, and
    the statistic.
    """

    path: NDArray[np.intp]
    turn: NDArray[np.intp]
    gain: Points


def statistic(points: Points) -> Points:
    """max over orders and turns of the share that line and circle together explain of the variance
    that neither explains alone, (B, k, r) -> (B,).

    Points in an order are regressed on their place t and on cos and sin of it (Kantamneni and
    Tegmark 2025, "Language Models Use Trigonometry to Do Addition": the generalised helix). Orders
    are those along `AXES` in the three leading components, scaled to equal variance, and the
    Fiedler vector's; the best is followed by the orders along the line that its fit implies. A
    circle needs no line, a line no circle, an arc is part of a circle: they leave nothing but
    noise, of which a helix explains little.
    """
    return _best(points).gain


def best(points: Points) -> tuple[NDArray[np.intp], float]:
    """Points (k, r) in the best order, and the turns they make in it."""
    found = _best(points[None])
    return found.path[0], float(bases(len(points)).turns[found.turn[0]])


def order(points: Points) -> NDArray[np.intp]:
    """Points (k, r) in the best order."""
    return best(points)[0]


def _best(points: Points) -> Fit:
    space = points[:, :, :SPACE]
    fit = Fit(np.empty(points.shape[:2], np.intp), *np.full((2, len(points)), -np.inf))
    for path in _orders(points):
        fit = _better(fit, _fitted(space, path))
    for _ in range(REFINED):
        fit = _better(fit, _fitted(space, _implied(space, fit)))
    return fit


def _better(one: Fit, other: Fit) -> Fit:
    wins = other.gain > one.gain
    return Fit(
        np.where(wins[:, None], other.path, one.path),
        np.where(wins, other.turn, one.turn).astype(np.intp),
        np.where(wins, other.gain, one.gain),
    )


def _fitted(points: Points, path: NDArray[np.intp]) -> Fit:
    """The best number of turns for points (B, k, r) in one order each, (B, k)."""
    k = points.shape[1]
    known, first = bases(k), _reference(k)
    total = np.maximum(np.sum(points**2, axis=(1, 2)), 1e-300)
    ordered = np.take_along_axis(points, path[:, :, None], 1)
    circle = _explained(known.circle, ordered).max(axis=1)
    helix = _explained(known.helix[first:], ordered)
    straight = np.sum((known.line @ ordered) ** 2, axis=1)
    alone = np.maximum(circle, straight)
    turn = helix.argmax(axis=1)
    gain = (helix.max(axis=1) - alone) / np.maximum(total - alone, 1e-12 * total)
    return Fit(path, first + turn, gain)


def _implied(points: Points, fit: Fit) -> NDArray[np.intp]:
    """Orders (B, k) of points (B, k, r) along the line of their best fit."""
    ordered = np.take_along_axis(points, fit.path[:, :, None], 1)
    basis = bases(points.shape[1]).helix[fit.turn]
    # points = basis @ coefficients: each point's own coordinates on the curve's three axes
    coefficients = basis.transpose(0, 2, 1) @ ordered
    along = points @ np.linalg.pinv(coefficients)
    return along[:, :, 2].argsort(axis=1, kind="stable")


def _orders(points: Points) -> NDArray[np.intp]:
    """Orders that are tried, (orders, B, k): for the axis of a helix is no principal component."""
    along = scaled(points, 3) @ AXES[:, : min(3, points.shape[2])].T
    paths = [*along.transpose(2, 0, 1).argsort(axis=2, kind="stable")]
    return np.array([*paths, line.seriation(line.distances(points))])


def _explained(basis: Points, ordered: Points) -> Points:
    """Squared length (B, w) of the projections of ordered points (B, k, r) on bases (w, k, q)."""
    w, k, q = basis.shape
    flat = basis.transpose(0, 2, 1).reshape(w * q, k)
    return np.sum((flat @ ordered).reshape(len(ordered), w, q, -1) ** 2, axis=(2, 3))


@lru_cache(maxsize=256)
def bases(k: int) -> Bases:
    """Bases for k places; circles from a quarter turn on, so that arcs count as circles."""
    t = (np.arange(k) + 0.5) / k
    turns = np.arange(STEP, max(k / PER_TURN, LEAST_TURNS) + STEP / 2, STEP)
    centred = t - t.mean()
    circle, helix = [], []
    for turn in turns:
        waves = np.column_stack([np.cos(2 * np.pi * turn * t), np.sin(2 * np.pi * turn * t)])
        waves -= waves.mean(axis=0)
        circle.append(np.linalg.qr(waves)[0])
        helix.append(np.linalg.qr(np.column_stack([waves, centred]))[0])
    straight = centred / np.linalg.norm(centred)
    return Bases(turns, np.array(circle), np.array(helix), straight)


def _reference(k: int) -> int:
    """The first number of turns that a helix may make."""
    return int(np.searchsorted(bases(k).turns, LEAST_TURNS - 1e-9))
