"""Shape tests behind one interface: a statistic that is large when the shape is there, and its
null.

Points are the principal coordinates of a cluster's directions, float64, in batches (B, k, r): k
directions, r components, centred. A statistic maps a batch to (B,). The search over planes or axes
is part of the statistic, so that a null draw searches as hard as the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from numpy.typing import NDArray

from interpsweep.geometry.shapes import circle, line, simplex, tree


class Shape(NamedTuple):
    """One test: its statistic, its null, and the best order of the points (None: no order)."""

    statistic: Callable[[NDArray], NDArray]
    null: Literal["haar", "random"]
    order: Callable[[NDArray], NDArray] | None


SHAPES: dict[str, Shape] = {
    "circle": Shape(circle.statistic, "haar", circle.order),
    "line": Shape(line.statistic, "haar", line.order),
    "tree": Shape(tree.statistic, "haar", None),
    # equal distances are a matter of the spectrum, which the Haar null keeps: so against random
    # ones
    "simplex": Shape(simplex.statistic, "random", None),
}
