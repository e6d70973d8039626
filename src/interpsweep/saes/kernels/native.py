"""Compiled loops over sparse codes for CPUs (numba). All arrays are numpy and C-contiguous.

Every kernel works on a range ``start:stop`` of rows or latents and writes nothing outside it, so
`spread` can hand ranges to threads and the result does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numba import njit

Array = np.ndarray

# sums may be reordered (that is what makes them vector instructions); NaN and inf stay themselves
FAST = {"reassoc", "contract", "nsz", "arcp"}
GUESS_MARGIN = np.float32(0.1)  # below what the row before suggests
_SMALL_WORK = 64  # rows or latents below which threads cost more than they save


def compiled(function: Callable) -> Callable:
    """Compile at first use, keep the machine code beside the module, release the GIL."""
    return njit(function, nogil=True, cache=True, fastmath=FAST, error_model="numpy")


@lru_cache(maxsize=1)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="kernels")


def spread(kernel: Callable, count: int, *arguments: Any) -> list:
    """Results of ``kernel(start, stop, *arguments)`` over 0:count on torch's number of threads."""
    threads = torch.get_num_threads()
    if threads == 1 or count < _SMALL_WORK:
        return [kernel(0, count, *arguments)]
    cuts = [count * part // threads for part in range(threads + 1)]
    others = [
        _pool(threads - 1).submit(kernel, cuts[part], cuts[part + 1], *arguments)
        for part in range(1, threads)
    ]
    return [kernel(0, cuts[1], *arguments), *(other.result() for other in others)]


# ---------------------------------------------------------------------------- choosing latents


@compiled
def _dot(
    a: Array,
    b: Array,
) -> np.floating:
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled
def nth_largest(
    values: Array,
    count: int,
    n: int,
) -> float:
    """The n-th largest (from 1) of values[:count]; reorders them."""
    low, high, place = 0, count - 1, n - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            break
    return values[place]


@compiled
def _load(
    pre: Array,
    row: int,
    shift: int,
    bias: Array,
    bits: Array,
    values: Array,
    maxima: Array,
) -> None:
    """values = pre[row] + bias, and the maxima of groups of values; `bits` is `values`' memory.

    Group g is every ``len(maxima)``-th value from g on, so that all loops are vectors; what is
    left over at the end belongs to no group.
    """
    groups = len(maxima)
    maxima[:] = -np.inf
    for first in range(0, len(bias) - groups + 1, groups):
        part_bits, part = bits[first : first + groups], values[first : first + groups]
        part_pre, part_bias = pre[row, first : first + groups], bias[first : first + groups]
        for g in range(groups):
            part_bits[g] = np.int32(part_pre[g]) << shift
        for g in range(groups):
            value = part[g] + part_bias[g]
            part[g] = value
            maxima[g] = value if value > maxima[g] else maxima[g]
    for j in range(len(bias) - len(bias) % groups, len(bias)):
        bits[j] = np.int32(pre[row, j]) << shift
    for j in range(len(bias) - len(bias) % groups, len(bias)):
        values[j] += bias[j]


@compiled
def _collect(
    values: Array,
    maxima: Array,
    floor: float,
    columns: Array,
    found: Array,
) -> int:
    """Columns and values from `floor` up, in an order that does not depend on it; their number."""
    groups, count = len(maxima), 0
    whole = len(values) - len(values) % groups
    for g in range(groups):
        if maxima[g] >= floor:
            for column in range(g, whole, groups):
                if values[column] >= floor:
                    columns[count] = column
                    found[count] = values[column]
                    count += 1
    for column in range(whole, len(values)):
        if values[column] >= floor:
            columns[count] = column
            found[count] = values[column]
            count += 1
    return count


@compiled
def top_columns(
    start: int,
    stop: int,
    pre: Array,
    shift: int,
    bias: Array,
    k: int,
    groups: int,
    out: Array,
) -> None:
    """out[row] = columns of the k largest of pre[row] + bias; of equal ones the first met.

    `pre` is an integer view of (n, d) floats and ``bits << shift`` makes them float32. The floor
    that spares most of a row is a guess from the row before, relative to the size of the groups'
    maxima; a wrong guess costs time only.
    """
    d = pre.shape[1]
    bits = np.empty(d, np.int32)
    values = bits.view(np.float32)
    maxima, scratch = np.empty(groups, np.float32), np.empty(d, np.float32)
    columns, found = np.empty(d, np.int64), np.empty(d, np.float32)
    relative = np.float32(np.inf)
    for row in range(start, stop):
        _load(pre, row, shift, bias, bits, values, maxima)
        size = np.sqrt(_dot(maxima, maxima)) + np.float32(1e-30)
        count = _collect(values, maxima, relative * size, columns, found)
        if count < k:
            floor = np.float32(-np.inf)
            if groups > k:  # k groups reach the k-th largest maximum, so k values do
                scratch[:groups] = maxima
                floor = nth_largest(scratch, groups, k)
            count = _collect(values, maxima, floor, columns, found)
        scratch[:count] = found[:count]
        last = nth_largest(scratch, count, k)
        ties = k
        for i in range(count):
            ties -= found[i] > last
        taken = 0
        for i in range(count):
            level = found[i] == last
            if found[i] > last or (level and ties > 0):
                out[row, taken] = columns[i]
                taken += 1
                ties -= level
        out[row, taken:] = 0  # only where there are NaN
        relative = (last - GUESS_MARGIN * abs(last)) / size


@compiled
def places_above(
    start: int,
    stop: int,
    pre: Array,
    shift: int,
    bias: Array,
    floor: float,
    limit: int,
    groups: int,
    counts: Array,
) -> tuple[Array, Array]:
    """Columns and values of the places where pre[row] + bias > floor; see `top_columns`.

    Returns (columns, values) in row order, and writes counts[row]. Stops early, with more than
    `limit` places, as soon as there are so many.
    """
    d = pre.shape[1]
    bits = np.empty(d, np.int32)
    values = bits.view(np.float32)
    maxima = np.empty(groups, np.float32)
    columns, found = np.empty(8 * d, np.int64), np.empty(8 * d, np.float32)
    least = np.nextafter(np.float32(floor), np.float32(np.inf))
    place = 0
    for row in range(start, stop):
        if len(columns) < place + d:
            columns, found = _longer(columns, place), _longer(found, place)
        _load(pre, row, shift, bias, bits, values, maxima)
        count = _collect(values, maxima, least, columns[place:], found[place:])
        counts[row] = count
        place += count
        if place > limit:
            break
    return columns[:place], found[:place]


@compiled
def _longer(
    values: Array,
    used: int,
) -> Array:
    longer = np.empty(2 * len(values), values.dtype)
    longer[:used] = values[:used]
    return longer


# ---------------------------------------------------------------------------- products


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
            out[e] = _dot(left[row], right[columns[e]]) + bias[columns[e]]


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
            value, source = values[e], decoder[columns[e]]
            if value != 0:
                for i in range(len(target)):
                    target[i] += value * source[i]


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
            value, source = values[e], decoder[columns[e]]
            if value != 0:
                for i in range(len(residual)):
                    residual[i] += value * source[i]
        for e in range(offsets[row], offsets[row + 1]):
            upstream[e] = _dot(residual, decoder[columns[e]])


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
            value, source = values[order[e]], right[rows[e]]
            if value != 0:
                for i in range(len(target)):
                    target[i] += value * source[i]


# ---------------------------------------------------------------------------- optimiser


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
        norm = max(np.sqrt(_dot(weight[row], weight[row])), np.float32(1e-12))
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
        out[row] = _dot(values[row], values[row])
