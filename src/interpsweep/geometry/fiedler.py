"""The eigenvector of the second smallest eigenvalue of many small graph Laplacians.

A batched `eigh` computes every eigenvector of every matrix. Here each matrix is made tridiagonal by
Householder reflections, its second eigenvalue is found by bisection on Sturm counts, and its vector
by inverse iteration (Golub and Van Loan, "Matrix Computations", 8.3 and 8.4).
"""

from __future__ import annotations

import numpy as np

from interpsweep.compiled import compiled

BISECTIONS = 44
ITERATIONS = 4

Array = np.ndarray


@compiled
def vectors(laplacian: Array, made: Array) -> None:
    """Fiedler vectors of Laplacians (B, k, k) into `made` (B, k), k >= 3; the input is lost."""
    batch, k = made.shape
    diagonal, beside, factor = np.empty(k), np.zeros(k), np.zeros(k)
    constant, step = np.empty(k), np.empty(k)
    for b in range(batch):
        matrix, vector = laplacian[b], made[b]
        _tridiagonal(matrix, diagonal, beside, factor, step)
        constant[:] = 1.0 / np.sqrt(k)
        for j in range(k - 2):
            _reflect(matrix, j, factor[j], constant)
        value = _second(diagonal, beside)
        for i in range(k):
            vector[i] = np.sin(i + 1.0)
        for _ in range(ITERATIONS):
            _project(constant, vector)
            _solve(diagonal, beside, value, vector)
        _project(constant, vector)
        for j in range(k - 3, -1, -1):
            _reflect(matrix, j, factor[j], vector)


@compiled
def _tridiagonal(a: Array, diagonal: Array, beside: Array, factor: Array, step: Array) -> None:
    """Reflect a symmetric matrix to a tridiagonal one; reflectors are left beyond its diagonal."""
    k = len(diagonal)
    for j in range(k - 2):
        length = 0.0
        for i in range(j + 1, k):
            length += a[j, i] * a[j, i]
        length = np.sqrt(length)
        beside[j] = -length if a[j, j + 1] > 0 else length
        a[j, j + 1] -= beside[j]
        square = 0.0
        for i in range(j + 1, k):
            square += a[j, i] * a[j, i]
        factor[j] = 2.0 / square if square > 0 else 0.0
        along = 0.0
        for i in range(j + 1, k):
            step[i] = 0.0
            for m in range(j + 1, k):
                step[i] += a[i, m] * a[j, m]
            step[i] *= factor[j]
            along += step[i] * a[j, i]
        along *= 0.5 * factor[j]
        for i in range(j + 1, k):
            step[i] -= along * a[j, i]
        for i in range(j + 1, k):
            for m in range(j + 1, k):
                a[i, m] -= a[j, i] * step[m] + step[i] * a[j, m]
    for i in range(k):
        diagonal[i] = a[i, i]
    beside[k - 2] = a[k - 1, k - 2]


@compiled
def _reflect(a: Array, j: int, factor: float, vector: Array) -> None:
    along = 0.0
    for i in range(j + 1, len(vector)):
        along += a[j, i] * vector[i]
    for i in range(j + 1, len(vector)):
        vector[i] -= factor * along * a[j, i]


@compiled
def _second(diagonal: Array, beside: Array) -> float:
    """The second smallest eigenvalue of a positive semidefinite tridiagonal matrix."""
    low, high = 0.0, 0.0
    for i in range(len(diagonal)):
        near = abs(beside[i - 1]) if i > 0 else 0.0
        near += abs(beside[i]) if i + 1 < len(diagonal) else 0.0
        high = max(high, diagonal[i] + near)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below, q = 0, 1.0
        for i in range(len(diagonal)):
            q = diagonal[i] - middle - (beside[i - 1] * beside[i - 1] / q if i > 0 else 0.0)
            if q == 0.0:
                q = 1e-300
            below += q < 0
        if below >= 2:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)


@compiled
def _project(constant: Array, vector: Array) -> None:
    """Take the constant vector out, and scale to length one."""
    along = length = 0.0
    for i in range(len(vector)):
        along += constant[i] * vector[i]
    for i in range(len(vector)):
        vector[i] -= along * constant[i]
        length += vector[i] * vector[i]
    length = max(np.sqrt(length), 1e-300)
    for i in range(len(vector)):
        vector[i] /= length


@compiled
def _solve(diagonal: Array, beside: Array, value: float, vector: Array) -> None:
    """Solve (T - value) x = vector in place by elimination with row exchanges."""
    k = len(diagonal)
    first, second, third = np.empty(k), np.empty(k), np.zeros(k)
    small = 1e-15 * max(np.max(np.abs(diagonal)), 1e-290)
    here, right = diagonal[0] - value, beside[0]
    for i in range(k - 1):
        below, after = beside[i], diagonal[i + 1] - value
        further = beside[i + 1] if i + 2 < k else 0.0
        if abs(below) > abs(here):
            first[i], second[i], third[i] = below, after, further
            ratio = here / below
            here, right = right - ratio * after, -ratio * further
            vector[i], vector[i + 1] = vector[i + 1], vector[i] - ratio * vector[i + 1]
        else:
            if abs(here) < small:
                here = small
            first[i], second[i] = here, right
            third[i] = 0.0
            ratio = below / here
            here, right = after - ratio * right, further
            vector[i + 1] -= ratio * vector[i]
    first[k - 1] = here if abs(here) > small else small
    vector[k - 1] /= first[k - 1]
    vector[k - 2] = (vector[k - 2] - second[k - 2] * vector[k - 1]) / first[k - 2]
    for i in range(k - 3, -1, -1):
        rest = second[i] * vector[i + 1] + third[i] * vector[i + 2]
        vector[i] = (vector[i] - rest) / first[i]
