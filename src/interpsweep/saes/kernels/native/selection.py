"""Finding the latents that are active in rows of pre-activations.

A row is searched for what can be among its largest values, or above its floor; the few places that
are left get their exact value, a float32 scalar product, and that decides. So the search may go by
products that are only known within a margin (those of bfloat16 matrices, see `kernels.choose`).

Rows are read in chunks of LANES * size values: group g of a chunk is its values g, g + LANES, ...,
so that all loops are vectors. What is left over at a row's end belongs to no group. Sizes are
constants of the loops below, which the compiler unrolls; it vectorises sums of unsigned indices.
"""

from __future__ import annotations

import numpy as np

from interpsweep.compiled import Array, compiled, dot, put

LANES = 16
SIZES = (8, 2)  # values that share a maximum
RANKED = 64  # values up to which ranks are counted: no branches, but quadratic


@compiled
def nth_largest(
    values: Array,
    count: int,
    n: int,
) -> np.floating:
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
def _level(values: Array, count: int, n: int, scratch: Array) -> np.floating:
    """The n-th largest of values[:count], which stay; NaN are passed over."""
    if count > RANKED:
        put(scratch[:count], values[:count])
        return nth_largest(scratch, count, n)
    level = np.float32(np.inf)
    for j in range(count):
        one, larger = values[j], 0
        for i in range(count):
            larger += values[i] > one
        level = one if larger < n and one < level else level
    return level


@compiled
def _maxima(pre: Array, bias: Array, size: int, maxima: Array) -> None:
    """The largest of every group of pre + bias."""
    for first in range(0, len(maxima), LANES):
        low, high = first * size, (first + LANES) * size
        a, b, out = pre[low:high], bias[low:high], maxima[first : first + LANES]
        if size == 8:
            for g in range(LANES):
                most = a[g] + b[g]
                for i in range(1, 8):
                    value = a[np.uint64(LANES * i + g)] + b[np.uint64(LANES * i + g)]
                    most = value if value > most else most
                out[g] = most
        else:
            for g in range(LANES):
                most = a[g] + b[g]
                value = a[np.uint64(LANES + g)] + b[np.uint64(LANES + g)]
                out[g] = value if value > most else most


@compiled
def _floor(maxima: Array, k: int, coarse: Array, scratch: Array) -> np.floating:
    """A number that at least k values reach: k groups do. `coarse` is for groups of groups."""
    groups, few = len(maxima), len(coarse)
    if groups < k:
        return np.float32(-np.inf)
    if groups <= few:
        return _level(maxima, groups, k, scratch)
    put(coarse, maxima[:few])
    for first in range(few, groups - few + 1, few):
        part = maxima[first : first + few]
        for g in range(few):
            coarse[g] = part[g] if part[g] > coarse[g] else coarse[g]
    return _level(coarse, few, k, scratch)


@compiled
def _from(
    pre: Array,
    bias: Array,
    size: int,
    maxima: Array,
    floor: float,
    hits: Array,
    columns: Array,
    found: Array,
) -> int:
    """Columns and values of pre + bias from `floor` up, in a set order; how many. No branches."""
    groups, some, count = len(maxima), 0, 0
    for g in range(groups):
        hits[some] = g
        some += maxima[g] >= floor
    for h in range(some):
        lane = hits[h] & (LANES - 1)
        first = (hits[h] - lane) * size + lane
        for i in range(size):
            column = first + LANES * i
            columns[count], found[count] = column, pre[column] + bias[column]
            count += found[count] >= floor
    for column in range(groups * size, len(bias)):
        columns[count], found[count] = column, pre[column] + bias[column]
        count += found[count] >= floor
    return count


@compiled
def _window(level: float, sides: int, margin: float, share: float, most_bias: float) -> np.floating:
    """How far from `level` a value may be by error: margin + share * |product| on each side."""
    return np.float32(sides * (margin + share * (abs(level) + most_bias)) / (1 - share))


@compiled
def _best(found: Array, count: int, k: int, scratch: Array, places: Array) -> int:
    """Places of the k largest of found[:count] (the first of equal ones), in order; how many."""
    if count <= k:
        for i in range(count):
            places[i] = i
        return count
    last = _level(found, count, k, scratch)
    ties = k
    for i in range(count):
        ties -= found[i] > last
    taken = 0
    for i in range(count):
        level = found[i] == last
        if found[i] > last or (level and ties > 0):
            places[taken] = i
            taken += 1
            ties -= level
    return taken


@compiled
def top_columns(
    first: int,
    pre: Array,
    margin: Array,
    share: float,
    centred: Array,
    encoder: Array,
    bias: Array,
    k: int,
    size: int,
    few: int,
    out: Array,
    exact: Array,
) -> None:
    """out[row] = columns of the k largest of ``centred @ encoder.T + bias``, exact[row] = these.

    `pre` is that product's rows from `first` on, float32, without the bias and to within
    ``margin[row] + share * (its absolute value)``. `size` is one of SIZES, `few` the number of
    groups of groups.
    """
    d, most_bias = pre.shape[1], _most(bias)
    maxima, coarse = np.empty(d // (LANES * size) * LANES, np.float32), np.empty(few, np.float32)
    scratch, found = np.empty(d, np.float32), np.empty(d, np.float32)
    hits, columns, places = np.empty(d, np.int64), np.empty(d, np.int64), np.empty(d, np.int64)
    bias32 = bias.astype(np.float32)
    for i in range(len(pre)):
        row, values = first + i, pre[i]
        _maxima(values, bias32, size, maxima)
        floor = _floor(maxima, k, coarse, scratch)
        if share > 0:
            floor -= _window(floor, 2, margin[row], share, most_bias)
        count = _from(values, bias32, size, maxima, floor, hits, columns, found)
        if share > 0:
            last = _level(found, count, min(count, k), scratch)
            last -= _window(last, 2, margin[row], share, most_bias)
            count = _keep(found, columns, count, last)
            for j in range(count):
                found[j] = dot(centred[row], encoder[columns[j]]) + bias[columns[j]]
        taken = _best(found, count, k, scratch, places)
        for j in range(k):  # fewer are found only where there are NaN
            column = columns[places[j]] if j < taken else 0
            out[row, j] = column
            if share > 0 and j < taken:
                exact[row, j] = found[places[j]]
            else:
                exact[row, j] = dot(centred[row], encoder[column]) + bias[column]


@compiled
def largest_columns(
    start: int, stop: int, values: Array, k: int, size: int, few: int, out: Array
) -> None:
    """out[row] = columns of the k largest of values[row], float32; of equal ones the first met."""
    d = values.shape[1]
    maxima, coarse = np.empty(d // (LANES * size) * LANES, np.float32), np.empty(few, np.float32)
    scratch, found, bias = np.empty(d, np.float32), np.empty(d, np.float32), np.zeros(d, np.float32)
    hits, columns, places = np.empty(d, np.int64), np.empty(d, np.int64), np.empty(d, np.int64)
    for row in range(start, stop):
        _maxima(values[row], bias, size, maxima)
        floor = _floor(maxima, k, coarse, scratch)
        count = _from(values[row], bias, size, maxima, floor, hits, columns, found)
        taken = _best(found, count, k, scratch, places)
        for j in range(k):
            out[row, j] = columns[places[j]] if j < taken else 0


@compiled
def _most(values: Array) -> np.floating:
    most = np.float32(0)
    for i in range(len(values)):
        most = max(most, abs(values[i]))
    return most


@compiled
def _keep(found: Array, columns: Array, count: int, floor: float) -> int:
    """Leave only what reaches `floor`; how many that is."""
    kept = 0
    for i in range(count):
        found[kept], columns[kept] = found[i], columns[i]
        kept += found[i] >= floor
    return kept


@compiled
def places_above(
    first: int,
    pre: Array,
    margin: Array,
    share: float,
    centred: Array,
    encoder: Array,
    bias: Array,
    floor: float,
    limit: int,
    size: int,
    counts: Array,
) -> tuple[Array, Array]:
    """Columns and values of the places where centred @ encoder.T + bias > floor.

    Arguments as in `top_columns`. Returns (columns, values) in row order, and writes counts[row].
    Stops early, with more than `limit` places, as soon as there are so many.
    """
    d, most_bias, bias32 = pre.shape[1], _most(bias), bias.astype(np.float32)
    maxima, scratch = np.empty(d // (LANES * size) * LANES, np.float32), np.empty(d, np.float32)
    hits, near = np.empty(d, np.int64), np.empty(d, np.int64)
    columns, found = np.empty(8 * d, np.int64), np.empty(8 * d, encoder.dtype)
    place = 0
    for i in range(len(pre)):
        row, values = first + i, pre[i]
        if len(columns) < place + d:
            columns, found = _longer(columns, place), _longer(found, place)
        _maxima(values, bias32, size, maxima)
        least = np.float32(floor - _window(floor, 1, margin[row], share, most_bias))
        count = _from(values, bias32, size, maxima, least, hits, near, scratch)
        before = place
        for j in range(count):
            column = near[j]
            value = dot(centred[row], encoder[column]) + bias[column]
            columns[place], found[place] = column, value
            place += value > floor
        counts[row] = place - before
        if place > limit:
            break
    return columns[:place], found[:place]


@compiled
def _longer(
    values: Array,
    used: int,
) -> Array:
    longer = np.empty(2 * len(values), values.dtype)
    put(longer[:used], values[:used])
    return longer


@compiled
def keep_largest(
    offsets: Array, columns: Array, values: Array, level: float, ties: int, kept: Array
) -> tuple[Array, Array]:
    """Leave entries above `level`, and the first `ties` equal to it; `kept` gets their offsets."""
    some, found, place = np.empty_like(columns), np.empty_like(values), 0
    kept[0] = 0
    for row in range(len(offsets) - 1):
        for e in range(offsets[row], offsets[row + 1]):
            equal = values[e] == level and ties > 0
            some[place], found[place] = columns[e], values[e]
            place += values[e] > level or equal
            ties -= equal
        kept[row + 1] = place
    return some[:place], found[:place]
