"""Which latents are active: the encoder's product in blocks of rows, and selection from it.

Only this needs all (batch, d_sae) pre-activations. They are made block by block, so that they are
still in cache when they are searched, and never stored as a whole.
"""

from __future__ import annotations

from functools import cache
from threading import local
from typing import Literal

import torch
from torch import Tensor

from interpsweep.saes.kernels import native
from interpsweep.saes.kernels.codes import SparseCodes, cumulative
from interpsweep.saes.kernels.dense import float_bits
from interpsweep.saes.kernels.native import selection

Precision = Literal["float32", "bfloat16"]

BLOCK_BYTES = 4 << 20  # of pre-activations at a time
GROUP_SIZES = (16, 8, 4, 2)  # values that share one maximum


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
    """``centred @ encoder.T`` in blocks of rows, each in memory of the thread that asks for it."""

    def __init__(self, centred: Tensor, encoder: Tensor, precision: Precision) -> None:
        self._left = rounded(centred, precision)
        self._right = rounded(encoder, precision).T
        self.rows = len(centred)
        if native.serves(centred):
            size = self._left.element_size() * len(encoder)
            self.rows = min(self.rows, max(64, BLOCK_BYTES // size))
        self.count = -(-len(centred) // self.rows)

    def stretch(self, i: int) -> slice:
        """The rows of block i."""
        return slice(i * self.rows, (i + 1) * self.rows)

    def __getitem__(self, i: int) -> Tensor:
        """Block i: (rows, d_sae); gone when the same thread takes another one."""
        part = self._left[self.stretch(i)]
        out = _scratch(len(part) * self._right.shape[1], part).view(len(part), -1)
        return torch.mm(part, self._right, out=out)


_memory = local()


def _scratch(size: int, like: Tensor) -> Tensor:
    """Uninitialised numbers, the same memory every time: new pages are slow."""
    held: dict = _memory.__dict__.setdefault("held", {})
    key = like.dtype, like.device
    if key not in held or len(held[key]) < size:
        held[key] = like.new_empty(size)
    return held[key][:size]


def _groups(d_sae: int, k: int) -> int:
    """Number of groups of values that share a maximum: few, but clearly more than k."""
    return next((d_sae // size for size in GROUP_SIZES if d_sae // size >= 2 * k), d_sae)


def top_columns(
    centred: Tensor, encoder: Tensor, bias: Tensor, k: int, precision: Precision
) -> Tensor:
    """Latents with the k largest pre-activations of each row: (batch, k) int64, in no set order.

    centred (batch, d), encoder (d_sae, d), bias (d_sae,). With bfloat16 the pre-activations that
    are compared are approximate (relative error of the product about 2^-8).
    """
    out = torch.empty(len(centred), k, dtype=torch.int64, device=centred.device)
    blocks = _Blocks(centred, encoder, precision)
    native.share(lambda i: _top(blocks[i], bias, k, out[blocks.stretch(i)]), blocks.count)
    return out


def _top(pre: Tensor, bias: Tensor, k: int, out: Tensor) -> None:
    if not native.serves(pre):
        out.copy_(torch.topk(pre + bias, k, sorted=False).indices)
        return
    bits, shift = float_bits(pre)
    arguments = (bits, shift, bias.float().numpy(), k, _groups(pre.shape[1], k), out.numpy())
    selection.top_columns(0, len(pre), *arguments)


def top_k(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of (batch, n) float32: values and columns, in no set order."""
    columns = torch.empty(len(values), k, dtype=torch.int64, device=values.device)
    values, bias = values.contiguous(), values.new_zeros(values.shape[1])
    rows = native.BLOCK_ROWS if native.serves(values) else max(1, len(values))

    def block(i: int) -> None:
        stretch = slice(i * rows, (i + 1) * rows)
        _top(values[stretch], bias, k, columns[stretch])

    native.share(block, -(-len(values) // rows))
    return values.gather(1, columns), columns


def above(
    centred: Tensor, encoder: Tensor, bias: Tensor, floor: float, precision: Precision
) -> SparseCodes:
    """The places whose pre-activation is above `floor`; arguments as in `top_columns`.

    The values are the pre-activations that were compared. For floors that differ between latents,
    subtract them from the bias.
    """
    everything = len(centred) * len(encoder)
    found = few_above(centred, encoder, bias, floor, precision, everything)
    assert found is not None
    return found


def few_above(
    centred: Tensor, encoder: Tensor, bias: Tensor, floor: float, precision: Precision, limit: int
) -> SparseCodes | None:
    """The same, or None, sooner, if the places are more than `limit`."""
    blocks, found = _Blocks(centred, encoder, precision), [0]

    def block(i: int) -> tuple[Tensor, Tensor, Tensor] | None:
        if found[0] > limit:
            return None
        places = _places(blocks[i], bias, floor, limit)
        found[0] += len(places[1])
        return places

    parts = [part for part in native.share(block, blocks.count) if part is not None]
    if sum(len(columns) for _, columns, _ in parts) > limit:
        return None
    counts, columns, values = (torch.cat(part) for part in zip(*parts, strict=True))
    return SparseCodes(cumulative(counts), columns, values)


def _places(pre: Tensor, bias: Tensor, floor: float, limit: int) -> tuple[Tensor, Tensor, Tensor]:
    """Entries per row, columns and values; wrong, but more than `limit`, if there are so many."""
    if not native.serves(pre):
        pre = pre + bias
        rows, columns = (pre > floor).nonzero(as_tuple=True)
        return torch.bincount(rows, minlength=len(pre)), columns, pre[rows, columns].float()
    bits, shift = float_bits(pre)
    counts = torch.zeros(len(pre), dtype=torch.int64)
    arguments = (bits, shift, bias.float().numpy(), floor, limit, _groups(pre.shape[1], 1))
    columns, values = selection.places_above(0, len(pre), *arguments, counts.numpy())
    return counts, torch.from_numpy(columns), torch.from_numpy(values)


def largest(values: Tensor, count: int) -> Tensor:
    """Indices of the `count` largest of a vector, ascending; of equal values the first."""
    if count >= len(values):
        return torch.arange(len(values), device=values.device)
    if native.serves(values):
        level = selection.nth_largest(values.numpy().copy(), len(values), count)
    else:
        level = torch.topk(values, count, sorted=True).values[-1]
    above_level = values > level
    ties = (values == level).nonzero()[: count - int(above_level.sum()), 0]
    above_level[ties] = True
    return above_level.nonzero()[:, 0]
