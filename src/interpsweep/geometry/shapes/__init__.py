"""Shape tests behind one interface: a statistic that is large when the shape is there, and its
null.

Points are the principal coordinates of a cluster, float64, in batches (B, k, r): k points, r
components, centred; for the nulls "random" and "spectrum", the unit directions themselves,
(B, k, d). A statistic maps a batch to (B,); NaN says that the test does not apply, which may
depend on size and spectrum only. The search over planes, axes or orders is part of the statistic,
so that a null draw searches as hard as the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from numpy.typing import NDArray

from interpsweep.geometry.shapes import circle, line, simplex, tree


class Shape(NamedTuple):
    """One test: its statistic, its null, the best order of the points (None: no order), the fewest
    points with which it can tell its shape from others, and whether it is of directions only.
    """

    statistic: Callable[[NDArray], NDArray]
    null: Literal["haar", "random", "spectrum"]
    order: Callable[[NDArray], NDArray] | None
    least: int
    directions_only: bool = False


SHAPES: dict[str, Shape] = {
    "circle": Shape(circle.statistic, "haar", circle.order, 5),
    "line": Shape(line.statistic, "haar", line.order, 5),
    "tree": Shape(tree.statistic, "haar", None, 5),
    # equal distances are a matter of the spectrum, which the Haar null keeps: so against random
    # ones
    "simplex": Shape(simplex.statistic, "random", None, 4),
}
