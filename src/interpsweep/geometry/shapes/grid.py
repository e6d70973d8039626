"""Points of a grid or another product: the same steps come back elsewhere (parallelograms)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry.shapes.line import distances
from interpsweep.geometry.shapes.spread import share

EDGES = 64  # most pairs of points whose steps are compared
FLAT = 0.1  # smallest variance of the second component, in those of the first
ALIKE = 0.2  # squared distance below which two steps are the same, in squared lengths
Points = NDArray[np.float64]


def statistic(points: Points) -> Points:
    """Minus the mean over short steps of the squared distance to the most similar other step,
    in mean squared lengths of a step, (B, k, r) -> (B,).

    Steps are the differences of the 2 k nearest pairs, in either direction. In a product of two
    arrangements in orthogonal subspaces every step occurs again: 0.
    """
    steps, _, _ = edges(points)
    gram = steps @ steps.transpose(0, 2, 1)
    squared = np.einsum("bee->be", gram).copy()
    apart = squared[:, :, None] + squared[:, None] - 2 * np.abs(gram)
    apart[:, np.arange(apart.shape[1]), np.arange(apart.shape[1])] = np.inf
    return -apart.min(axis=2).mean(axis=1) / np.maximum(squared.mean(axis=1), 1e-300)


def applies(points: Points) -> NDArray[np.bool_]:
    """Whether points (B, k, r) have a second component with `FLAT` of the variance of the first:
    equal steps on a line are no product.
    """
    return share(points, 1) >= FLAT


def edges(points: Points) -> tuple[Points, NDArray[np.intp], NDArray[np.intp]]:
    """Steps between the nearest pairs (B, e, r), and the numbers of both ends, (B, e)."""
    k = points.shape[1]
    first, second = np.triu_indices(k, 1)
    count = min(2 * k, EDGES, len(first))
    apart = distances(points)[:, first, second]
    chosen = np.argsort(apart, axis=1, kind="stable")[:, :count]
    a, b = first[chosen], second[chosen]
    rows = np.arange(len(points))[:, None]
    return points[rows, a] - points[rows, b], a, b


def lattice(points: Points) -> NDArray[np.int_]:
    """Whole-numbered places (k, 2) of points (k, r) on the grid that the short steps span.

    Its two steps are the mean of those most parallel to the step with most parallels, and the same
    of what is left when these are taken out. Places are least-squares coordinates, rounded.
    """
    steps = edges(points[None])[0][0]
    basis = []
    for _ in range(2):
        squared = np.sum(steps**2, axis=1)
        gram = steps @ steps.T
        like = squared[:, None] + squared - 2 * np.abs(gram) < ALIKE * squared[:, None]
        best = int(np.argmax(like.sum(axis=1)))
        sign = np.sign(gram[best])[:, None]
        basis.append(np.mean((sign * steps)[like[best]], axis=0))
        steps = steps[~like[best]]
        if not len(steps):
            break
    if len(basis) < 2:
        return np.zeros((len(points), 2), int)
    axes = np.array(basis)
    along = np.linalg.lstsq(axes.T, points.T, rcond=None)[0].T
    return np.rint(along - _offset(along)).astype(int)


def _offset(along: Points) -> Points:
    """Where the whole numbers lie on each axis: the circular mean of the fractions, (2,)."""
    return np.angle(np.exp(2j * np.pi * along).mean(axis=0)) / (2 * np.pi)
