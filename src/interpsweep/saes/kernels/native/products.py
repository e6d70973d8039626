"""Products of sparse codes with dense matrices."""

from __future__ import annotations

import numpy as np

from interpsweep.compiled import Array, compiled, dot


@compiled
def add_scaled(
    target: Array,
    value: np.floating,
    source: Array,
) -> None:
    """target += value * source; a chosen latent that is silent costs nothing."""
    if value != 0:
        for i in range(len(target)):
            target[i] += value * source[i]


@compiled
def products_at(
    start: int,
    stop: int,
    left: Array,
    right: Array,
    offsets: Array,
    columns: Array,
    bias: Array,
    out: Array,
) -> None:
    """out[e] = left[row] . right[columns[e]] + bias[columns[e]] for the entries e of each row."""
    for row in range(start, stop):
        for e in range(offsets[row], offsets[row + 1]):
            out[e] = dot(left[row], right[columns[e]]) + bias[columns[e]]


@compiled
def decode_rows(
    start: int,
    stop: int,
    offsets: Array,
    columns: Array,
    values: Array,
    decoder: Array,
    out: Array,
) -> None:
    """out[row] = sum of values[e] * decoder[columns[e]] over the row's entries."""
    for row in range(start, stop):
        target = out[row]
        target[:] = 0
        for e in range(offsets[row], offsets[row + 1]):
            add_scaled(target, values[e], decoder[columns[e]])


@compiled
def reconstruct_rows(
    start: int,
    stop: int,
    offsets: Array,
    columns: Array,
    values: Array,
    decoder: Array,
    target: Array,
    error: Array,
    upstream: Array,
) -> None:
    """error[row] = decoded row - target[row]; upstream[e] = error[row] . decoder[columns[e]].

    The decoder rows are still in cache when they are needed for the second time.
    """
    for row in range(start, stop):
        residual = error[row]
        for i in range(len(residual)):
            residual[i] = -target[row, i]
        for e in range(offsets[row], offsets[row + 1]):
            add_scaled(residual, values[e], decoder[columns[e]])
        for e in range(offsets[row], offsets[row + 1]):
            upstream[e] = dot(residual, decoder[columns[e]])


@compiled
def sort_by_column(
    offsets: Array,
    columns: Array,
    column_offsets: Array,
    rows: Array,
    order: Array,
) -> None:
    """Counting sort of the entries by column, in row order within one; not split over threads."""
    place = column_offsets[:-1].copy()
    for row in range(len(offsets) - 1):
        for e in range(offsets[row], offsets[row + 1]):
            at = place[columns[e]]
            rows[at] = row
            order[at] = e
            place[columns[e]] = at + 1


@compiled
def transposed_rows(
    start: int,
    stop: int,
    offsets: Array,
    rows: Array,
    order: Array,
    values: Array,
    right: Array,
    out: Array,
) -> None:
    """out[column] = sum of values[order[e]] * right[rows[e]] over the column's entries."""
    for column in range(start, stop):
        target = out[column]
        target[:] = 0
        for e in range(offsets[column], offsets[column + 1]):
            add_scaled(target, values[order[e]], right[rows[e]])
