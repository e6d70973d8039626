"""Which latents are active: the encoder's product in blocks of rows, and selection from it.

Only this needs all (batch, d_sae) pre-activations. They are made block by block, so that they are
still in cache when they are searched, and never stored as a whole.

What is chosen are the largest float32 pre-activations, on every CPU. One that multiplies bfloat16
matrices faster searches by such a product, with a bound for its error: whatever the bound leaves
open is decided by float32 products. So the arithmetic changes the time and no choice (but between
values that differ by a rounding of float32, which no two CPUs share).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from threading import local
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from interpsweep.saes.kernels import native
from interpsweep.saes.kernels.codes import SparseCodes, cumulative, fixed_k, from_mask
from interpsweep.saes.kernels.dense import float_bits
from interpsweep.saes.kernels.native import rows, selection, spread

Precision = Literal["float32", "bfloat16"]

BLOCK_BYTES = 1 << 20  # of pre-activations at a time
BLOCK_ROWS = 256  # but at least so many rows: the product reads the whole encoder for each block
PIECE_ROWS = 32  # bfloat16 rows that are widened at a time
NARROW_PRODUCT = 1 << 19  # d * d_sae below which bfloat16 saves less than its bounds cost
UNIT = 2.0**-8  # a bfloat16 number is within this share of what was rounded to it


@cache
def _multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices faster than float32 ones."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def rounded(matrix: Tensor, precision: Precision) -> Tensor:
    """A float32 matrix with its entries rounded to `precision`, in its fastest format."""
    if precision == "float32":
        return matrix
    matrix = matrix.bfloat16()
    return matrix.float() if matrix.device.type == "cpu" and not _multiplies_bfloat16() else matrix


class _Blocks:
    """``centred @ encoder.T`` in blocks of rows, each in memory of the thread that asks for it.

    The product is exact to ``margin[row] + share * (its absolute value)``.
    """

    def __init__(self, centred: Tensor, encoder: Tensor) -> None:
        self._left, self._right, self._exact = centred, encoder.T, (centred, encoder)
        self._margin, self._share = torch.zeros(len(centred)), 0.0
        narrow = _multiplies_bfloat16() and encoder.numel() >= NARROW_PRODUCT
        if narrow and encoder.dtype == torch.float32:
            rounded = centred.bfloat16(), encoder.bfloat16()
            self._left, self._right = rounded[0], rounded[1].T
            self._margin, self._share = _margin((centred, encoder), rounded), UNIT
        size = self._left.element_size() * len(encoder)
        self._rows = max(BLOCK_ROWS, BLOCK_BYTES // size)
        self.count = -(-len(centred) // self._rows)

    def pieces(self, i: int) -> Iterator[tuple[int, np.ndarray]]:
        """Block i in float32, in pieces: the first row and (rows, d_sae).

        A piece is gone when the same thread takes another one.
        """
        first = i * self._rows
        part = self._left[first : first + self._rows]
        block = _scratch("block", part.dtype, len(part), self._right.shape[1])
        torch.mm(part, self._right, out=block)
        size = PIECE_ROWS if self._share else len(part)
        for start in range(0, len(part), size):
            piece = block[start : start + size]
            if piece.dtype != torch.float32:
                piece = _scratch("piece", torch.float32, *piece.shape).copy_(piece)
            yield first + start, piece.numpy()

    def arrays(self, bias: Tensor) -> tuple:
        """What the compiled search needs beside the product: its bounds, and the exact factors."""
        exact = (tensor.contiguous().numpy() for tensor in (*self._exact, bias))
        return self._margin.numpy(), np.float32(self._share), *exact


def _margin(factors: tuple[Tensor, Tensor], rounded: tuple[Tensor, Tensor]) -> Tensor:
    """Bound of the error of each row's product of rounded factors, (batch,), before its rounding.

    With x = x' + e and w = w' + f the product is off by x'.f + e.w, which is at most |x'| |f| +
    |e| |w| (Cauchy and Schwarz); float32 sums add less than d 2^-23 |x| |w|.
    """
    (size, error), (sizes, errors) = map(_norms, factors, rounded)
    sums = factors[0].shape[1] * 2.0**-23
    return (size + error) * (errors.max() + sums * sizes.max()) + error * sizes.max()


def _norms(matrix: Tensor, rounded: Tensor) -> tuple[Tensor, Tensor]:
    """Norms of the rows of a matrix, and of what rounding took from them."""
    norms, errors = matrix.new_empty(len(matrix)), matrix.new_empty(len(matrix))
    arrays = matrix.contiguous().numpy(), *float_bits(rounded), norms.numpy(), errors.numpy()
    spread(rows.rounding_norms, len(matrix), *arrays)
    return norms, errors


_memory = local()


def _scratch(name: str, dtype: torch.dtype, rows: int, columns: int) -> Tensor:
    """Uninitialised numbers, the same memory every time: new pages are slow."""
    held: dict = _memory.__dict__.setdefault("held", {})
    key, size = (name, dtype), rows * columns
    if key not in held or len(held[key]) < size:
        held[key] = torch.empty(size, dtype=dtype)
    return held[key][:size].view(rows, columns)


def _groups(d_sae: int, k: int) -> tuple[int, int]:
    """Values that share a maximum, and groups of groups: few of them, but clearly more than k."""
    lanes = selection.LANES
    sizes = [size for size in selection.SIZES if d_sae // (lanes * size) * lanes >= 2 * k]
    few = -(-2 * k // lanes) * lanes
    return max(sizes, default=min(selection.SIZES)), few


def top_columns(centred: Tensor, encoder: Tensor, bias: Tensor, k: int) -> SparseCodes:
    """The k largest pre-activations of each row, in no set order.

    centred (batch, d), encoder (d_sae, d), bias (d_sae,). The values are float32 scalar products.
    """
    if not native.serves(centred):
        values, columns = torch.topk(torch.addmm(bias, centred, encoder.T), k, sorted=False)
        return fixed_k(columns, values)
    columns = torch.empty(len(centred), k, dtype=torch.int64)
    values = centred.new_empty(len(centred), k)
    blocks, (size, few) = _Blocks(centred, encoder), _groups(len(encoder), k)
    after = *blocks.arrays(bias), k, size, few, columns.numpy(), values.numpy()

    def search(i: int) -> None:
        for first, pre in blocks.pieces(i):
            selection.top_columns(first, pre, *after)

    native.share(search, blocks.count)
    return fixed_k(columns, values)


def top_k(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of (batch, n) float32: values and columns, in no set order."""
    if not native.serves(values):
        return torch.topk(values, k, sorted=False)
    columns = torch.empty(len(values), k, dtype=torch.int64)
    size, few = _groups(values.shape[1], k)
    held = values.contiguous().numpy()
    spread(selection.largest_columns, len(held), held, k, size, few, columns.numpy())
    return values.gather(1, columns), columns


def above(centred: Tensor, encoder: Tensor, bias: Tensor, floor: float) -> SparseCodes:
    """The places whose pre-activation is above `floor`; arguments as in `top_columns`.

    For floors that differ between latents, subtract them from the bias.
    """
    found = few_above(centred, encoder, bias, floor, len(centred) * len(encoder))
    assert found is not None
    return found


def few_above(
    centred: Tensor, encoder: Tensor, bias: Tensor, floor: float, limit: int
) -> SparseCodes | None:
    """The same, or None, sooner, if the places are more than `limit`."""
    if not native.serves(centred):
        pre = torch.addmm(bias, centred, encoder.T)
        codes = from_mask(pre > floor, pre)
        return None if len(codes.columns) > limit else codes
    counts, found = torch.zeros(len(centred), dtype=torch.int64), [0]
    blocks, (size, _) = _Blocks(centred, encoder), _groups(len(encoder), 1)
    after = *blocks.arrays(bias), floor, limit, size, counts.numpy()

    def search(i: int) -> list[tuple[np.ndarray, np.ndarray]]:
        parts = []
        for first, pre in blocks.pieces(i):
            if found[0] <= limit:
                parts.append(selection.places_above(first, pre, *after))
                found[0] += len(parts[-1][0])
        return parts

    parts = [part for block in native.share(search, blocks.count) for part in block]
    if sum(len(columns) for columns, _ in parts) > limit:
        return None
    columns, values = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
    return SparseCodes(cumulative(counts), columns, values)


def keep_largest(codes: SparseCodes, count: int) -> SparseCodes:
    """The `count` largest entries; of equal ones the first."""
    values = codes.values
    if count >= len(values):
        return codes
    if not native.serves(values):
        level = torch.topk(values, count, sorted=True).values[-1]
        kept = values > level
        kept[(values == level).nonzero()[: count - int(kept.sum()), 0]] = True
        return codes.keep(kept)
    arrays = [tensor.contiguous().numpy() for tensor in codes]
    level = selection.nth_largest(arrays[2].copy(), len(values), count)
    offsets = torch.empty_like(codes.offsets)
    ties = count - int(np.count_nonzero(arrays[2] > level))
    places = selection.keep_largest(*arrays, level, ties, offsets.numpy())
    return SparseCodes(offsets, *map(torch.from_numpy, places))
