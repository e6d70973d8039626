"""Which latents are active: the encoder's product in blocks of rows, and selection from it.

Only this needs all (batch, d_sae) pre-activations. They are made block by block, so that they are
still in cache when they are searched, and never stored as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from interpsweep.saes.kernels import native
from interpsweep.saes.kernels.codes import SparseCodes, cumulative
from interpsweep.saes.kernels.dense import float_bits
from interpsweep.saes.kernels.native import selection, spread

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


def _pre_activation_blocks(
    centred: Tensor, encoder: Tensor, precision: Precision
) -> Iterator[tuple[int, Tensor]]:
    """Yield (first row, ``centred @ encoder.T`` of a block of rows); the buffer is reused."""
    centred, encoder = rounded(centred, precision), rounded(encoder, precision)
    rows = len(centred)
    if centred.device.type == "cpu":
        rows = min(rows, max(64, BLOCK_BYTES // (centred.element_size() * len(encoder))))
    buffer = centred.new_empty(rows, len(encoder))
    for first in range(0, len(centred), rows):
        part = centred[first : first + rows]
        yield first, torch.mm(part, encoder.T, out=buffer[: len(part)])


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
    for first, pre in _pre_activation_blocks(centred, encoder, precision):
        _top(pre, bias, k, out[first : first + len(pre)])
    return out


def _top(pre: Tensor, bias: Tensor, k: int, out: Tensor) -> None:
    if not native.serves(pre):
        out.copy_(torch.topk(pre + bias, k, sorted=False).indices)
        return
    bits, shift = float_bits(pre)
    groups = _groups(pre.shape[1], k)
    arguments = (bits, shift, bias.float().numpy(), k, groups, out.numpy())
    spread(selection.top_columns, len(pre), *arguments)


def top_k(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of (batch, n) float32: values and columns, in no set order."""
    columns = torch.empty(len(values), k, dtype=torch.int64, device=values.device)
    _top(values.contiguous(), values.new_zeros(values.shape[1]), k, columns)
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
    counts, columns, values = [], [], []
    left = limit
    for _, pre in _pre_activation_blocks(centred, encoder, precision):
        for found in _places(pre, bias, floor, left):
            left -= len(found[1])
            if left < 0:
                return None
            counts.append(found[0])
            columns.append(found[1])
            values.append(found[2])
    return SparseCodes(cumulative(torch.cat(counts)), torch.cat(columns), torch.cat(values))


def _places(
    pre: Tensor, bias: Tensor, floor: float, limit: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(entries per row, columns, values) of consecutive stretches of rows."""
    if not native.serves(pre):
        pre = pre + bias
        rows, columns = (pre > floor).nonzero(as_tuple=True)
        yield torch.bincount(rows, minlength=len(pre)), columns, pre[rows, columns].float()
        return
    bits, shift = float_bits(pre)
    counts = torch.zeros(len(pre), dtype=torch.int64)
    arguments = (
        bits,
        shift,
        bias.float().numpy(),
        floor,
        limit,
        _groups(pre.shape[1], 1),
        counts.numpy(),
    )
    found = spread(selection.places_above, len(pre), *arguments)
    joined = [torch.from_numpy(np.concatenate(part)) for part in zip(*found, strict=True)]
    yield counts, joined[0], joined[1]


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
