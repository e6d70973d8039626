"""Points of a flat torus: two planes at right angles, in each of which the radius is constant."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry.shapes.spread import scaled, share, variation

AXES = 4
THIN = 0.1  # smallest variance of the fourth component, in those of the first
Points = NDArray[np.float64]


def statistic(points: Points) -> Points:
    """max over pairs of planes of exp(-CV(radius) - CV(other radius)), (B, k, r) -> (B,).

    The four leading components are scaled to equal variance. Pairs of planes are those of the
    components, and the one of the quadratic form without trace that is nearest to zero on all
    points: the difference of squared radii, for a torus.
    """
    return _scores(points)[0].max(axis=0)


def applies(points: Points) -> NDArray[np.bool_]:
    """Whether points (B, k, r) have a fourth component with `THIN` of the variance of the first."""
    return share(points, AXES - 1) >= THIN


def angles(points: Points) -> Points:
    """Both angles (k, 2) of points (k, r), r >= 4, in the best pair of planes."""
    scores, turned = _scores(points[None])
    x = turned[int(np.argmax(scores[:, 0])), 0]  # (k, 4)
    return np.arctan2(x[:, [1, 3]], x[:, [0, 2]])


def _scores(points: Points) -> tuple[Points, Points]:
    """Statistic of every pair of planes (pairs, B), and the points in their axes
    (pairs, B, k, 4): the first two columns are one plane, the others the other.
    """
    white = scaled(points, AXES)
    turned = np.array(
        [white, white[:, :, [0, 2, 1, 3]], white[:, :, [0, 3, 1, 2]], white @ _planes(white)]
    )
    squared = turned**2
    one, other = squared[..., 0] + squared[..., 1], squared[..., 2] + squared[..., 3]
    scores = variation(np.sqrt(one)) + variation(np.sqrt(other))
    return np.exp(-scores), turned


def _planes(white: Points) -> Points:
    """Axes (B, 4, 4) of the quadratic form without trace of least variance on points (B, k, 4).

    Its two positive eigenvectors span one plane, the two negative ones the other.
    """
    basis = _forms()
    values = np.einsum("bki,fij,bkj->bkf", white, basis, white, optimize=True)
    weight = np.linalg.eigh(values.transpose(0, 2, 1) @ values)[1][:, :, 0]
    return np.linalg.eigh(np.einsum("bf,fij->bij", weight, basis))[1]


@lru_cache(maxsize=1)
def _forms() -> Points:
    """Orthonormal symmetric matrices without trace, (9, 4, 4)."""
    made = []
    for i in range(AXES):
        for j in range(i + 1, AXES):
            form = np.zeros((AXES, AXES))
            form[i, j] = form[j, i] = np.sqrt(0.5)
            made.append(form)
    for i in range(1, AXES):
        diagonal = np.zeros(AXES)
        diagonal[:i], diagonal[i] = 1, -i
        made.append(np.diag(diagonal / np.linalg.norm(diagonal)))
    return np.array(made)
