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
    acts: Array,
    error: Array,
    to_pre: Array,
    squared: Array,
) -> None:
    """See `saes.kernels.codes.Fit`. The decoder rows are still in cache when needed again."""
    for row in range(start, stop):
        residual = error[row]
        for i in range(len(residual)):
            residual[i] = -target[row, i]
        for e in range(offsets[row], offsets[row + 1]):
            acts[e] = 0 if values[e] <= 0 else values[e]
            add_scaled(residual, acts[e], decoder[columns[e]])
        for e in range(offsets[row], offsets[row + 1]):
            to_pre[e] = 0 if acts[e] == 0 else dot(residual, decoder[columns[e]])
        squared[row] = dot(residual, residual)


@compiled
def sort_by_column(
    offsets: Array,
    columns: Array,
    column_offsets: Array,
    rows: Array,
    order: Array,
) -> None:
    """Counting sort of the entries by column, in row order within one; not split over threads."""
    column_offsets[:] = 0
    for e in range(len(columns)):
        column_offsets[columns[e] + 1] += 1
    for column in range(1, len(column_offsets)):
        column_offsets[column] += column_offsets[column - 1]
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


@compiled
def gradient_rows(
    start: int,
    stop: int,
    weight: float,
    add: bool,
    offsets: Array,
    rows: Array,
    order: Array,
    acts: Array,
    to_pre: Array,
    error: Array,
    centred: Array,
    encoder: Array,
    decoder: Array,
    sums: Array,
    fired: Array,
) -> None:
    """Gradients of each latent's weights; see `saes.kernels.codes.sparse_gradients`."""
    for column in range(start, stop):
        to_encoder, to_decoder, count = encoder[column], decoder[column], 0
        if not add:
            to_encoder[:] = 0
            to_decoder[:] = 0
        sums[column] = 0
        for at in range(offsets[column], offsets[column + 1]):
            row, pre, act = rows[at], weight * to_pre[order[at]], weight * acts[order[at]]
            add_scaled(to_encoder, pre, centred[row])
            add_scaled(to_decoder, act, error[row])
            sums[column] += pre
            count += act > 0
        fired[column] = count
