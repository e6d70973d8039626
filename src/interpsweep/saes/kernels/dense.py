"""Passes over dense (batch, d_sae) matrices that torch is slow at, above all in bfloat16."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from interpsweep.saes.kernels import native
from interpsweep.saes.kernels.native import dense, spread


def relu_(values: Tensor) -> Tensor:
    """Zero what is not positive, in place; return the mask of what is."""
    if not _compiled(values):
        positive = values > 0
        values.relu_()
        return positive
    positive = torch.empty(values.shape, dtype=torch.bool)
    bits, shift = float_bits(values)
    spread(dense.relu_rows, len(bits), bits, shift, positive.view(torch.uint8).numpy())
    return positive


def keep_(mask: Tensor, values: Tensor) -> Tensor:
    """Zero `values` where `mask` is false, in place; return them."""
    if not _compiled(values):
        return values.masked_fill_(~mask, 0)
    bits, _ = float_bits(values)
    spread(dense.keep_rows, len(bits), bits, mask.view(torch.uint8).numpy())
    return values


def column_sums(values: Tensor) -> Tensor:
    """Sum over rows, (d,) float32 (float64 of float64)."""
    if not _compiled(values):
        return values.sum(0, dtype=torch.promote_types(values.dtype, torch.float32))
    out = torch.empty(values.shape[1])
    spread(dense.column_sums, len(out), *float_bits(values), out.numpy())
    return out


def column_counts(mask: Tensor) -> Tensor:
    """True entries in each column, (d,) int64."""
    if not native.serves(mask):
        return mask.sum(0)
    out = torch.empty(mask.shape[1], dtype=torch.int64)
    spread(dense.column_counts, len(out), mask.view(torch.uint8).numpy(), out.numpy())
    return out


def float_bits(values: Tensor) -> tuple[np.ndarray, int]:
    """An integer view of a CPU matrix, and the shift that makes float32 bits of it."""
    if values.dtype == torch.bfloat16:
        return values.view(torch.int16).numpy(), 16
    return values.float().view(torch.int32).numpy(), 0


def _compiled(values: Tensor) -> bool:
    return native.serves(values) and values.dtype in (torch.float32, torch.bfloat16)
