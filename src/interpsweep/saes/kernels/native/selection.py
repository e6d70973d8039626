"""Finding the latents that are active in rows of pre-activations."""

from __future__ import annotations

import numpy as np

from interpsweep.compiled import Array, compiled, dot

GUESS_MARGIN = np.float32(0.1)  # below what the row before suggests


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
        size = np.sqrt(dot(maxima, maxima)) + np.float32(1e-30)
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
