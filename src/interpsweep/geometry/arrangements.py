"""Null N1 of the census: other arrangements of as many points with the same centre and the same
spectrum about it, that know how long the points are.

Centre and spectrum are what a Haar arrangement keeps. But a direction has length one: it cannot be
farther than that from any line, and among directions that are not near each other all are nearly
so far from the line through the origin and the centre. Haar arrangements know nothing of that, and
against them three in ten sets of 9 random directions would be circles at 5 %. Lengths and spectrum
cannot both be kept: points near each other on a sphere that lie on a circle round their centre have
lengths that no other arrangement has. So there are two nulls.

* `within` keeps centre and spectrum. Row i is at most as far from the line through origin and
  centre as the group's i-th point is long: rows of a Haar arrangement are rotated in threes about
  their sum, which moves neither centre nor spectrum, until none is too far (Bendel and Mickey 1978
  rotate in twos, for correlation matrices). Equal distances from a centre are rarer in it than
  among directions with a centre far from the origin, and in crowded planes it leaves few
  arrangements but circles.
* `at_lengths` keeps the lengths, and spectrum and centre nearly: a Haar arrangement about the
  centre, each point of which is brought to its length. For shapes that are a matter of equal
  distances from a centre. Points of unequal lengths lose some of the leading plane's variance by
  it, so the arrangement as it was counts as well.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.compiled import compiled
from interpsweep.geometry.nulls import batch_principal

CLOSE = 0.01  # largest excess that is left, in mean squared lengths
TURNS = 8  # most rotations, in numbers of points
COARSE, FINE = 24, 14  # angles that are tried, and halvings of the step about the best
Points = NDArray[np.float64]


class Arrangement(NamedTuple):
    """What stays of sets of points (B, k, d): `singular` values (B, m) of the centred points,
    falling, their `centre` in their principal coordinates (B, m), how far it is `outside` of these
    (B,), and squared `lengths` (B, k). m is k - 1, or d if that is less.

    Draws are made of Haar-random frames (draws, k, m) orthogonal to the constant vector, the same
    for all sets, and given by principal coordinates.
    """

    singular: Points
    centre: Points
    outside: Points
    lengths: Points

    def plain(self, frames: Points, components: int) -> Points:
        """Arrangements that know nothing of lengths, (B, draws, k, r), r = min(components, m)."""
        return np.asarray((frames * self.singular[:, None, None])[..., :components])

    def within(self, frames: Points, components: int) -> Points:
        """Arrangements within the points' lengths, (B, draws, k, r)."""
        points = frames * self.singular[:, None, None]
        far = np.sqrt(np.sum(self.centre**2, axis=1) + self.outside**2)
        axis = self.centre / np.maximum(far, 1e-300)[:, None]
        _turn(points, axis, self.lengths, _thirds(self.lengths.shape[1]))
        return np.ascontiguousarray(points[..., :components])

    def at_lengths(self, frames: Points, components: int) -> Points:
        """Arrangements brought to the points' lengths, (B, draws, k, r)."""
        moved = frames * self.singular[:, None, None] + self.centre[:, None, None]
        square = np.sum(moved**2, axis=3) + (self.outside**2)[:, None, None]
        scale = np.sqrt(self.lengths[:, None] / np.maximum(square, 1e-300))[..., None]
        beside = scale * self.outside[:, None, None, None]
        sets = np.concatenate([moved * scale, beside], axis=3)
        made = batch_principal(sets.reshape(-1, *sets.shape[2:]), components)
        return made.reshape(len(self.singular), len(frames), *made.shape[1:])

    def some(self, which: NDArray[np.integer] | NDArray[np.bool_]) -> Arrangement:
        """Those of some of the sets."""
        return Arrangement(*(values[which] for values in self))


def arrangement(points: NDArray[np.floating]) -> Arrangement:
    """Spectrum, centre and lengths of sets of at least three points, (B, k, d)."""
    rows = np.asarray(points, np.float64)
    mean = rows.mean(axis=1, keepdims=True)
    about = rows - mean
    values, vectors = np.linalg.eigh(about @ about.transpose(0, 2, 1))
    m = min(rows.shape[1] - 1, rows.shape[2])
    singular = np.sqrt(np.maximum(values[:, : -m - 1 : -1], 0.0))
    flat = singular <= 1e-7 * singular[:, :1]  # rounding of squares: no dimension
    along = vectors[:, :, : -m - 1 : -1].transpose(0, 2, 1) @ (about @ mean.transpose(0, 2, 1))
    centre = np.where(flat, 0.0, along[..., 0] / np.where(flat, 1.0, singular))
    square = np.sum(mean[:, 0] ** 2, axis=1) - np.sum(centre**2, axis=1)
    outside = np.sqrt(np.maximum(square, 0.0))
    return Arrangement(np.where(flat, 0.0, singular), centre, outside, np.sum(rows**2, axis=2))


@lru_cache(maxsize=256)
def _thirds(k: int) -> NDArray[np.int64]:
    """Which of the k - 2 other rows takes part in each rotation: random, and always the same."""
    return np.random.default_rng(k).integers(k - 2, size=TURNS * k)


@compiled
def _turn(points: Points, axis: Points, lengths: Points, thirds: NDArray[np.int64]) -> None:
    """Bring the squared distances of the rows of each draw (B, draws, k, m) from the line through
    the centre along its set's `axis` (B, m) down to their squared lengths, (B, k).

    Every step turns the row that is most too far, the one with most room and a third, (steps,)
    among the others, by the angle that leaves the least squared excess.
    """
    for b in range(len(points)):
        for draw in range(points.shape[1]):
            _turn_one(points[b, draw], axis[b], lengths[b], thirds)


@compiled
def _turn_one(points: Points, axis: Points, lengths: Points, thirds: NDArray[np.int64]) -> None:
    k, m = points.shape
    far, along = np.empty(k), np.empty(k)  # squared distance from the line; place along it
    near = CLOSE * lengths.sum() / k
    for i in range(k):
        far[i] = along[i] = 0.0
        for c in range(m):
            far[i] += points[i, c] ** 2
            along[i] += points[i, c] * axis[c]
        far[i] -= along[i] ** 2
    for step in range(len(thirds)):
        high, low = 0, 0
        for i in range(k):
            if far[i] - lengths[i] > far[high] - lengths[high]:
                high = i
            if far[i] - lengths[i] < far[low] - lengths[low]:
                low = i
        if far[high] - lengths[high] <= near:
            break
        third = thirds[step]
        third += third >= min(high, low)
        third += third >= max(high, low)
        _turn_three(points, far, along, lengths, (high, low, third))


@compiled
def _turn_three(
    points: Points, far: Points, along: Points, lengths: Points, rows: tuple[int, int, int]
) -> None:
    """Rotate three rows of points (k, m) about their sum by the best angle."""
    i, j, h = rows
    ij, ih, jh = -along[i] * along[j], -along[i] * along[h], -along[j] * along[h]
    for c in range(points.shape[1]):
        ij += points[i, c] * points[j, c]
        ih += points[i, c] * points[h, c]
        jh += points[j, c] * points[h, c]
    gram = (far[i], far[j], far[h], ij, ih, jh)
    most = (lengths[i], lengths[j], lengths[h])
    least, best, step = np.inf, 0.0, 2 * np.pi / COARSE
    for n in range(COARSE):
        excess = _excess(n * step, gram, most)
        if excess < least:
            least, best = excess, n * step
    for _ in range(FINE):
        step /= 2
        for angle in (best - step, best + step):
            excess = _excess(angle, gram, most)
            if excess < least:
                least, best = excess, angle
    u, v, w = _weights(best)
    x, y, z = along[i], along[j], along[h]
    along[i], along[j], along[h] = (
        u * x + v * y + w * z,
        w * x + u * y + v * z,
        v * x + w * y + u * z,
    )
    far[i], far[j], far[h] = -(along[i] ** 2), -(along[j] ** 2), -(along[h] ** 2)
    for c in range(points.shape[1]):
        x, y, z = points[i, c], points[j, c], points[h, c]
        points[i, c] = u * x + v * y + w * z
        points[j, c] = w * x + u * y + v * z
        points[h, c] = v * x + w * y + u * z
        far[i] += points[i, c] ** 2
        far[j] += points[j, c] ** 2
        far[h] += points[h, c] ** 2


@compiled
def _weights(angle: float) -> tuple[float, float, float]:
    """First row of the rotation of three coordinates about their diagonal; the others are its
    cyclic shifts.
    """
    even, odd = (1 - np.cos(angle)) / 3, np.sin(angle) / np.sqrt(3.0)
    return 1 - 2 * even, even - odd, even + odd


@compiled
def _excess(
    angle: float,
    gram: tuple[float, float, float, float, float, float],
    most: tuple[float, float, float],
) -> float:
    """Squared excess of three squared distances over their most, after a rotation."""
    u, v, w = _weights(angle)
    xx, yy, zz, xy, xz, yz = gram
    one = u * u * xx + v * v * yy + w * w * zz + 2 * (u * v * xy + u * w * xz + v * w * yz)
    two = w * w * xx + u * u * yy + v * v * zz + 2 * (w * u * xy + w * v * xz + u * v * yz)
    three = xx + yy + zz - one - two  # their sum stays
    return (
        max(one - most[0], 0.0) ** 2 + max(two - most[1], 0.0) ** 2 + max(three - most[2], 0.0) ** 2
    )
