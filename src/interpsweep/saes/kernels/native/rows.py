"""Passes over rows of weights: Adam, norms."""

from __future__ import annotations

import numpy as np

from interpsweep.compiled import Array, compiled, dot


@compiled
def adam_rows(
    start: int,
    stop: int,
    weight: Array,
    mean: Array,
    square: Array,
    gradient: Array,
    factor: float,
    rate: float,
    damping: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """Adam on rows of (n, d) arrays; `factor` scales the gradient, see `saes.optimiser`."""
    for row in range(start, stop):
        for i in range(weight.shape[1]):
            g = gradient[row, i] * factor
            m = mean[row, i] + (1 - beta1) * (g - mean[row, i])
            v = beta2 * square[row, i] + (1 - beta2) * g * g
            mean[row, i], square[row, i] = m, v
            weight[row, i] -= rate * m / (np.sqrt(v) * damping + eps)


@compiled
def unit_rows(
    start: int,
    stop: int,
    weight: Array,
) -> None:
    """Divide rows by their norm."""
    for row in range(start, stop):
        norm = max(np.sqrt(dot(weight[row], weight[row])), np.float32(1e-12))
        for i in range(weight.shape[1]):
            weight[row, i] /= norm


@compiled
def square_sums(
    start: int,
    stop: int,
    values: Array,
    out: Array,
) -> None:
    """out[row] = squared norm of a row, (n,) float64."""
    for row in range(start, stop):
        out[row] = dot(values[row], values[row])


@compiled
def rounding_norms(
    start: int, stop: int, matrix: Array, bits: Array, shift: int, norms: Array, errors: Array
) -> None:
    """Norms of rows, and of their difference from rounded ones: ``bits << shift`` is float32."""
    row_bits = np.empty(matrix.shape[1], np.int32)
    rounded = row_bits.view(np.float32)
    for row in range(start, stop):
        values, part = matrix[row], bits[row]
        for i in range(len(values)):
            row_bits[i] = np.int32(part[i]) << shift
        for i in range(len(values)):
            rounded[i] = values[i] - rounded[i]
        norms[row], errors[row] = np.sqrt(dot(values, values)), np.sqrt(dot(rounded, rounded))
