"""Which shape describes a cluster best: explicit models of its squared distances, cross-validated.

The tests react to each other's shapes (an arc passes as a tree, a tree as a line), so a p-value
only gates; the name goes to the model, among those whose test passed, that predicts a left-out
point best. A model is either a partition of the pairs of points into groups of equal distance, or
a regression of the squared distances on a few features of the pairs; the reference is one distance
for all pairs (the equicorrelated model, a simplex).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from interpsweep.columns import MODELS
from interpsweep.geometry import left_out, nulls
from interpsweep.geometry.shapes import SHAPES, grid, helix, polytope, sphere, spread, torus
from interpsweep.vectors import unit_length

Array = NDArray[np.float64]
Groups = NDArray[np.int_]
ANTIPRISM = 8  # vertices of the only polytope that is neither a circle nor a simplex
ARRANGEMENTS = 19
BLOBS = 6
PLAIN = ("circle", "line", "tree")
NEEDED = 0.5  # of the error without it: what does not bring it down so far is not needed
CLEAR = 0.8  # of the error of the next best plain shape: up to there a plain one is told from it
BENT = 1 / 3  # of the error of the best plain shape: up to there another one is told from it
FITTING = 0.5  # R2 from which a polytope is preferred to the sphere round it
CLOSED = 2.0  # ends of a circle's order, unlike a line's, are at most so many neighbours apart


class Partition(NamedTuple):
    """Groups of pairs: (k, k) group numbers, the group to use for one that is empty without the
    left-out point (-1: the mean of all pairs), and whether groups rise in distance.
    """

    group: Groups
    instead: Groups
    rising: bool = False


def fits(points: Array) -> dict[str, float]:
    """Leave-one-out R2 of the squared distances of the points (k, r) under each model.

    circle: circulant, a function of the steps round the best circular order; line: Robinson, a
    rising function of the steps along the best order; tree: ultrametric with the topology of
    average linkage, or two to six blobs of it, whichever is better; the others are regressions on
    the `features` of their pairs. Order, topology and places are those of all points; the distances
    of a left-out point are predicted from the pairs without it. 0 is as good as equal distances;
    -inf below 5 points, or where a model is none of so many points or dimensions.
    """
    if len(points) < 5:
        return dict.fromkeys(MODELS, float("-inf"))
    squared = np.sum((points[:, None] - points[None]) ** 2, axis=2)
    trees = _trees(squared)
    made = {
        "circle": left_out_r2(squared, _around(points)),
        "line": left_out_r2(squared, _along(points)),
        "tree": max(left_out_r2(squared, model) for model in trees),
    }
    for name in MODELS[len(made) :]:
        known = features(name, points, squared)
        made[name] = float("-inf") if known is None else _needing_all(squared, known)
    return made


def _needing_all(squared: Array, known: Array) -> float:
    """`regression_r2` on several features, -inf if leaving one out costs too little.

    A torus one of whose circles is not needed is a circle, or blobs on one; a helix, a circle or a
    line. Needed is what brings the error down to `NEEDED` of what it is without it.
    """
    every = regression_r2(squared, known)
    for i in range(len(known) if len(known) > 1 else 0):
        less = regression_r2(squared, np.delete(known, i, axis=0))
        if 1 - every > NEEDED * (1 - less):
            return float("-inf")
    return every


def features(name: str, points: Array, squared: Array) -> Array | None:
    """What the squared distances of points (k, r) are linear in, (f, k, k); None: no such model.

    torus: 1 - cosine of the difference of each of two angles; sphere: 1 - cosine of the angle
    between two points; helix: squared difference of places and 1 - cosine of the turn between them;
    grid: products of the differences of whole-numbered places; polytope: squared distances of the
    vertices of the square antiprism (other ones are circles or simplices).
    """
    k = len(points)
    if name == "polytope":
        return polytope.nearest(squared)[None] if k == ANTIPRISM else None
    if k < SHAPES[name].least or not SHAPES[name].applies(points[None])[0]:
        return None
    if name == "torus":
        around = torus.angles(points).T
        return 1 - np.cos(around[:, :, None] - around[:, None])
    if name == "sphere":
        places = unit_length(spread.scaled(points[None], sphere.AXES)[0])
        return (1 - places @ places.T)[None]
    if name == "helix":
        order, turns = helix.best(points)
        t = np.empty(k)
        t[order] = np.arange(k) / k
        apart = t[:, None] - t
        return np.stack([apart**2, 1 - np.cos(2 * np.pi * turns * apart)])
    cells = grid.lattice(points)
    if (np.std(cells, axis=0) == 0).any():
        return None
    i, j = (cells[:, None] - cells).transpose(2, 0, 1)
    return np.stack([i * i, j * j]).astype(np.float64)


def adjusted(points: Array, rng: np.random.Generator) -> dict[str, float]:
    """`fits` above what the same search yields on random arrangements: (R2 - m) / (1 - m).

    m is the model's mean R2 over `ARRANGEMENTS` Haar-random arrangements with the same spectrum.
    Orders and topologies are chosen with the left-out point, and a line has more freedom than a
    circle, so that without this it would be named too often.
    """
    own = fits(points)
    if len(points) < 5:
        return own
    drawn = [fits(one) for one in nulls.haar(points, ARRANGEMENTS, rng)]
    made = {}
    for name in MODELS:
        # a draw with which the model cannot be had predicts as little as equal distances
        null = float(np.mean([one[name] if np.isfinite(one[name]) else 0.0 for one in drawn]))
        made[name] = (own[name] - null) / (1 - null)
    return made


def regression_r2(squared: Array, known: Array) -> float:
    """`left_out_r2` of the regression of squared distances (k, k) on features (f, k, k)."""
    k = len(squared)
    x = np.stack([np.ones((k, k)), *known], axis=2)  # (k, k, f + 1): rows of pairs
    x /= np.maximum(np.sqrt(np.mean(x**2, axis=(0, 1))), 1e-300)
    x[np.arange(k), np.arange(k)] = 0.0  # no pairs
    y = squared * (1 - np.eye(k))
    # of the pairs with each point, and of all others: their products and sums
    mine_xx, mine_xy = x.transpose(0, 2, 1) @ x, np.einsum("ijf,ij->if", x, y)
    xx, xy = mine_xx.sum(axis=0) / 2 - mine_xx, mine_xy.sum(axis=0) / 2 - mine_xy
    fitted = np.einsum("ifg,ig->if", np.linalg.pinv(xx, rcond=1e-12, hermitian=True), xy)
    others = (k - 1) * (k - 2) / 2
    mean = (y.sum() / 2 - y.sum(axis=1)) / others
    off = ~np.eye(k, dtype=bool)
    wrong = float(np.sum((y - np.einsum("ijf,if->ij", x, fitted))[off] ** 2))
    base = float(np.sum((y - mean[:, None])[off] ** 2))
    return 1 - wrong / base if base > 0 else float("-inf")


def left_out_r2(squared: Array, model: Partition) -> float:
    """1 - squared error of the model / of equal distances, both on the pairs of left-out points."""
    wrong, base = left_out.errors(
        np.ascontiguousarray(squared, np.float64),
        np.ascontiguousarray(model.group, np.int64),
        np.ascontiguousarray(model.instead, np.int64),
        model.rising,
    )
    return 1 - wrong / base if base > 0 else float("-inf")


def _places(name: str, points: Array) -> Groups:
    order = SHAPES[name].order
    assert order is not None
    place = np.empty(len(points), int)
    place[order(points)] = np.arange(len(points))
    return place


def _around(points: Array) -> Partition:
    place = _places("circle", points)
    steps = np.abs(place[:, None] - place)
    steps = np.minimum(steps, len(points) - steps)
    return Partition(steps, np.full(len(points) // 2 + 1, -1))


def _along(points: Array) -> Partition:
    place = _places("line", points)
    return Partition(np.abs(place[:, None] - place), np.full(len(points), -1), rising=True)


def _trees(squared: Array) -> list[Partition]:
    """Average linkage of the points: pairs grouped by the node that joins them, or by the blobs
    that they are in, for two to `BLOBS` blobs.

    A node that joins one point to a subtree is empty without that point: it is given the subtree's
    own height, which in an ultrametric is the nearest lower bound; a pair of points, none.
    """
    k = len(squared)
    merges = linkage(squareform(squared, checks=False), "average")
    pairs = merges[:, :2].astype(int)
    group = np.zeros((k, k), int)
    instead = np.full(k - 1, -1)
    leaves = [[i] for i in range(k)]
    for node, (a, b) in enumerate(pairs):
        group[np.ix_(leaves[a], leaves[b])] = node
        group[np.ix_(leaves[b], leaves[a])] = node
        leaves.append(leaves[a] + leaves[b])
        if (a < k) != (b < k):
            instead[node] = max(a, b) - k
    made = [Partition(group, instead)]
    for blobs in range(2, min(BLOBS, k // 2) + 1):
        blob = fcluster(merges, blobs, "maxclust") - 1
        low, high = np.minimum(blob[:, None], blob), np.maximum(blob[:, None], blob)
        made.append(Partition(low * blobs + high, np.full(blobs * blobs, -1)))
    return made


def name(
    passing: list[str], fitted: dict[str, float], closure: float, opening: float = float("nan")
) -> str:
    """Name of a cluster from its passing tests, its model fits, and the `closure` of its orders as
    a circle and as a line (`opening`).

    An open horseshoe is order, not a circle, and an order whose ends meet is no line; a simplex or
    a polytope without a model of its own is named only where nothing more specific passes; one that
    has a model takes precedence over the sphere that its vertices lie on. Shapes that bend in more
    ways must leave a third of the error of the best plain one: a curve that leaves its plane lies
    near a sphere and a helix too. A plain one must be clearly better than the other two, whether
    their tests pass or not.
    """
    known = {test: r2 for test, r2 in fitted.items() if np.isfinite(r2)}
    if closure > CLOSED:
        known.pop("circle", None)
    if opening <= CLOSED:
        known.pop("line", None)
    fitted_tests = [test for test in passing if test in known]
    if not fitted_tests:
        return next((test for test in ("polytope", "simplex") if test in passing), "unresolved")
    polytope_fits = "polytope" in fitted_tests and known["polytope"] > FITTING
    able = [test for test in fitted_tests if not (test == "sphere" and polytope_fits)]
    best = max((t for t in able if _told_apart(t, known)), key=lambda t: (known[t], t), default="")
    return best if best and known[best] > 0 else "unresolved"


def _told_apart(test: str, known: dict[str, float]) -> bool:
    """Whether a shape's model predicts so much better than the (other) plain ones that the shape
    may be named.
    """
    plain = max(known.get(other, -np.inf) for other in PLAIN if other != test)
    if test == "polytope":  # few points in a fixed arrangement: no plain shape bends into it
        return True
    return 1 - known[test] <= (CLEAR if test in PLAIN else BENT) * (1 - plain)


def closure(points: Array, order: NDArray[np.intp]) -> float:
    """Distance of the first and last point of an order, in mean distances of neighbours.

    1 for a regular polygon, k - 1 for equal steps on a straight line.
    """
    step = np.linalg.norm(np.diff(points[order], axis=0), axis=1).mean()
    ends = np.linalg.norm(points[order[0]] - points[order[-1]])
    return float(ends / max(step, 1e-300))
