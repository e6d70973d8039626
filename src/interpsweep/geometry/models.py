"""Which shape describes a cluster best: explicit models of its squared distances.

The tests react to each other's shapes (an arc passes as a tree, a tree as a line), so a p-value
only gates; the name goes to the best-fitting model among the tests that passed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import pdist
from sklearn.isotonic import IsotonicRegression

from interpsweep.geometry.shapes import SHAPES


def fits(points: NDArray[np.float64]) -> dict[str, float]:
    """Adjusted R2 of the squared distances of the points (k, r) under each model.

    circle: a function of the number of steps round the best circular order; line: a rising function
    of the number of steps along the best order; tree: the ultrametric of average linkage.
    """
    k = len(points)
    squared = pdist(points, "sqeuclidean")
    first, second = np.triu_indices(k, 1)
    steps = {}
    for name in ("circle", "line"):
        order = SHAPES[name].order
        assert order is not None
        place = np.empty(k, int)
        place[order(points)] = np.arange(k)
        steps[name] = np.abs(place[first] - place[second])
    around = np.minimum(steps["circle"], k - steps["circle"])
    rising = IsotonicRegression().fit_transform(steps["line"].astype(float), squared)
    return {
        "circle": _adjusted(squared, _means(around, squared), k // 2),
        "line": _adjusted(squared, rising, k - 1),
        "tree": _adjusted(squared, cophenet(linkage(squared, "average")), k - 1),
    }


def _means(group: NDArray[np.int_], values: NDArray[np.float64]) -> NDArray[np.float64]:
    count = np.maximum(np.bincount(group), 1)
    return (np.bincount(group, values) / count)[group]


def _adjusted(values: NDArray, fitted: NDArray, parameters: int) -> float:
    """R2 with both sums divided by their degrees of freedom; -inf with none left."""
    free = len(values) - parameters
    total = np.var(values) * len(values) / max(len(values) - 1, 1)
    if free <= 0 or total <= 0:
        return float("-inf")
    return float(1 - np.sum((values - fitted) ** 2) / free / total)


def name(passing: dict[str, float], fitted: dict[str, float]) -> str:
    """Name of a cluster from its passing tests (test -> p) and its model fits.

    A simplex is named only where nothing more specific passes.
    """
    specific = {test: fitted[test] for test in passing if test in fitted}
    if specific:
        best = max(specific, key=lambda test: (specific[test], test))
        return best if specific[best] > 0 else "unresolved"
    return "simplex" if "simplex" in passing else "unresolved"


def closure(points: NDArray[np.float64], order: NDArray[np.intp]) -> float:
    """Distance of the first and last point of an order, in mean distances of neighbours.

    1 for a regular polygon, k - 1 for equal steps on a straight line.
    """
    step = np.linalg.norm(np.diff(points[order], axis=0), axis=1).mean()
    ends = np.linalg.norm(points[order[0]] - points[order[-1]])
    return float(ends / max(step, 1e-300))
