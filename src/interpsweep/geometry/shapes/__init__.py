"""Shape tests behind one interface: a statistic that is large when the shape is there, and its
null.

Points are the principal coordinates of a cluster, float64, in batches (B, k, r): k points, r
components, centred; for the nulls "random" and "spectrum", the unit directions themselves,
(B, k, d). A statistic maps a batch to (B,). The search over planes, axes or orders is part of the
statistic, so that a null draw searches as hard as the data. Whether a test applies to points may
depend on their number and spectrum only, which the nulls keep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry.shapes import (
    circle,
    grid,
    helix,
    line,
    polytope,
    simplex,
    sphere,
    torus,
    tree,
)


def _always(points: NDArray) -> NDArray:
    return np.ones(len(points), bool)


class Shape(NamedTuple):
    """One test: its statistic, its null, the best order of the points (None: no order), the fewest
    points with which it can tell its shape from others, whether equal lengths alone bring points
    nearer to the shape, which sets of points (B, k, r) could have the shape at all, and whether it
    is of directions only.
    """

    statistic: Callable[[NDArray], NDArray]
    null: Literal["haar lengths", "haar within", "random", "spectrum"]
    order: Callable[[NDArray], NDArray] | None
    least: int
    even: bool
    applies: Callable[[NDArray], NDArray] = _always
    directions_only: bool = False


SHAPES: dict[str, Shape] = {
    "circle": Shape(circle.statistic, "haar lengths", circle.order, 5, True),
    "line": Shape(line.statistic, "haar within", line.order, 5, False),
    "tree": Shape(tree.statistic, "haar within", None, 5, False),
    "torus": Shape(torus.statistic, "haar lengths", None, 12, True, torus.applies),
    "sphere": Shape(sphere.statistic, "haar lengths", None, 8, True, sphere.applies),
    "helix": Shape(helix.statistic, "haar within", helix.order, 9, False),
    "grid": Shape(grid.statistic, "haar within", None, 9, False, grid.applies),
    # a matter of the angles at the origin, which is not in the centred coordinates
    "polytope": Shape(polytope.statistic, "spectrum", None, 3, True, polytope.applies, True),
    # equal distances are a matter of the spectrum, which the Haar null keeps: so against random
    # ones
    "simplex": Shape(simplex.statistic, "random", None, 4, True),
}
