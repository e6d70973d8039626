"""Passes over dense codes."""

from __future__ import annotations

import numpy as np

from interpsweep.compiled import Array, compiled, put


@compiled
def relu_rows(start: int, stop: int, bits: Array, shift: int, positive: Array) -> None:
    """Zero what is not positive (NaN stays), and note in a uint8 array what is."""
    d = bits.shape[1]
    row_bits = np.empty(d, np.int32)
    values = row_bits.view(np.float32)
    for row in range(start, stop):
        for j in range(d):
            row_bits[j] = np.int32(bits[row, j]) << shift
        for j in range(d):
            positive[row, j] = values[j] > 0
        for j in range(d):
            bits[row, j] = 0 if values[j] <= 0 else bits[row, j]


@compiled
def keep_rows(start: int, stop: int, bits: Array, mask: Array) -> None:
    """Zero the places of floats (an integer view) where a uint8 mask is 0."""
    for row in range(start, stop):
        for j in range(bits.shape[1]):
            bits[row, j] = bits[row, j] if mask[row, j] else 0


@compiled
def column_sums(start: int, stop: int, bits: Array, shift: int, out: Array) -> None:
    """out[column] = sum of a (batch, d) matrix over its rows; see `top_columns` for `bits`."""
    width = stop - start
    row_bits, total = np.empty(width, np.int32), np.zeros(width, np.float32)
    values = row_bits.view(np.float32)
    for row in range(len(bits)):
        part = bits[row, start:stop]
        for j in range(width):
            row_bits[j] = np.int32(part[j]) << shift
        for j in range(width):
            total[j] += values[j]
    put(out[start:stop], total)


@compiled
def column_counts(start: int, stop: int, mask: Array, out: Array) -> None:
    """out[column] = number of rows in which a (batch, d) uint8 mask is 1."""
    total = np.zeros(stop - start, np.int32)
    for row in range(len(mask)):
        part = mask[row, start:stop]
        for j in range(len(total)):
            total[j] += np.int32(part[j])
    put(out[start:stop], total)
