"""Sparse products that training and encoding are made of.

Everything is deterministic for a given number of threads: sums over a latent's occurrences run in
row order, never through atomic additions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

# rows encoded at once: the block of pre-activations stays in cache between product and selection
ENCODE_BYTES = 8 << 20
GROUP = 8  # columns that share one maximum in the search for the largest


class SparseCodes(NamedTuple):
    """A sparse (batch, d_sae) matrix in row order, with float32 values and int64 indices.

    Row b owns entries ``offsets[b]:offsets[b + 1]`` of `columns` and `values`; `rows` repeats b.
    Entries may be zero (a chosen latent whose pre-activation is negative).
    """

    offsets: Tensor  # (batch + 1,)
    rows: Tensor  # (nnz,)
    columns: Tensor  # (nnz,)
    values: Tensor  # (nnz,)

    def dense(self, d_sae: int) -> Tensor:
        """The matrix, (batch, d_sae) float32."""
        full = self.values.new_zeros(len(self.offsets) - 1, d_sae)
        full[self.rows, self.columns] = self.values
        return full

    def with_values(self, values: Tensor) -> SparseCodes:
        """The same places with other values."""
        return self._replace(values=values)


def fixed_k(columns: Tensor, values: Tensor) -> SparseCodes:
    """Codes from (batch, k) columns and values."""
    batch, k = columns.shape
    offsets = torch.arange(0, (batch + 1) * k, k, device=columns.device)
    rows = torch.arange(batch, device=columns.device).repeat_interleave(k)
    return SparseCodes(offsets, rows, columns.reshape(-1), values.reshape(-1))


def from_mask(mask: Tensor, values: Tensor) -> SparseCodes:
    """Codes from the True places of a (batch, d_sae) mask over dense values."""
    rows, columns = mask.nonzero(as_tuple=True)
    return from_coordinates(rows, columns, values[rows, columns], len(mask))


def from_coordinates(rows: Tensor, columns: Tensor, values: Tensor, batch: int) -> SparseCodes:
    """Codes from entries that are sorted by row."""
    counts = torch.bincount(rows, minlength=batch)
    return SparseCodes(_cumulative(counts), rows, columns, values)


def _cumulative(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def decode(codes: SparseCodes, decoder: Tensor) -> Tensor:
    """``codes @ decoder``: (batch, d) from a decoder (d_sae, d)."""
    return _bag(codes.columns, decoder, codes.offsets, codes.values)


def decode_with_gradient(codes: SparseCodes, decoder: Tensor) -> tuple[Tensor, Tensor]:
    """`decode`, and the values as a leaf: ``torch.autograd.grad(out, leaf, g)`` is g . decoder."""
    with torch.enable_grad():
        leaf = codes.values.detach().requires_grad_()
        return _bag(codes.columns, decoder, codes.offsets, leaf), leaf


def sampled_products(left: Tensor, right: Tensor, codes: SparseCodes) -> Tensor:
    """``(left @ right.T)`` at the places of `codes` only: (nnz,), float32.

    left is (batch, d), right (d_sae, d).
    """
    out, leaf = decode_with_gradient(codes, right)
    return torch.autograd.grad(out, leaf, left)[0]


class ByColumn:
    """Codes sorted by latent, for products with their transpose."""

    def __init__(self, codes: SparseCodes, d_sae: int) -> None:
        _, self.order = torch.sort(codes.columns.int(), stable=True)
        self.ones = codes.values.new_ones(len(codes.offsets) - 1, 1)
        self.rows = codes.rows[self.order]
        self.counts = torch.bincount(codes.columns, minlength=d_sae)
        self.offsets = _cumulative(self.counts)

    def transposed_product(self, values: Tensor, right: Tensor) -> Tensor:
        """``codes.T @ right`` for codes with these `values` (nnz,): (d_sae, d)."""
        return _bag(self.rows, right, self.offsets, values[self.order])

    def column_sums(self, values: Tensor) -> Tensor:
        """Sum of `values` over each latent's entries, (d_sae,)."""
        return self.transposed_product(values, self.ones)[:, 0]


def _bag(indices: Tensor, table: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    return embedding_bag(
        indices, table, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def top_k(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of (batch, n): values and columns, in no particular order."""
    if values.device.type != "cpu":
        return torch.topk(values, k, sorted=False)
    groups = values.shape[1] // GROUP
    if values.shape[1] % GROUP or groups < 2 * k:
        return _partition_top_k(values, k)
    # The k largest lie in the k groups with the largest maxima; a group: every `groups`-th column.
    maxima = values.view(len(values), GROUP, groups).amax(1)
    _, best = _partition_top_k(maxima, k)
    step = torch.arange(0, values.shape[1], groups)
    columns = (best[:, :, None] + step).view(len(values), k * GROUP)
    found, place = _partition_top_k(values.gather(1, columns), k)
    return found, columns.gather(1, place)


def _partition_top_k(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    # numpy's selection is vectorised, torch's is not
    n = values.shape[1]
    if k == n:
        return values, torch.arange(n).expand(len(values), n)
    columns = torch.from_numpy(np.argpartition(values.float().numpy(), n - k, axis=1)[:, n - k :])
    return values.gather(1, columns), columns


def largest(values: Tensor, count: int) -> Tensor:
    """Indices of the `count` largest of a vector, ascending; of equal values the first."""
    if count >= len(values):
        return torch.arange(len(values), device=values.device)
    threshold = torch.topk(values, count, sorted=True).values[-1]
    above = (values > threshold).nonzero()[:, 0]
    level = (values == threshold).nonzero()[: count - len(above), 0]
    return torch.cat([above, level]).sort().values
