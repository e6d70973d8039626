"""Passes over rows of weights: Adam, norms."""

from __future__ import annotations

import numpy as np

from interpsweep.compiled import Array, compiled, dot


@compiled
def adam_rows(
    start: int,
    stop: int,
    weight: Array,
    gradient: Array,
    mean: Array,
    square: Array,
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
