"""The entries of a (batch, d_sae) matrix that matter to a step: sparse if few, dense otherwise.

Architectures with a threshold of their own (gated, jumprelu) start with many active latents and
end with few. Both forms have the same operations, so that their steps are written once. "Values"
are one number per entry: (nnz,) in the sparse form, (batch, d_sae) in the dense one, where a value
at a place that does not matter must be zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpsweep.saes.kernels import ByColumn, SparseCodes, decode, from_mask, sampled_products

SPARSE_BELOW = 1 / 32  # share of entries below which gathering rows beats a dense product


class Sparse:
    """Entries at the places of `codes`."""

    def __init__(self, codes: SparseCodes, d_sae: int) -> None:
        self.codes, self.d_sae = codes, d_sae
        self.by_column = ByColumn(codes, d_sae)

    @property
    def values(self) -> Tensor:
        """What the entries were made from."""
        return self.codes.values

    def of(self, vector: Tensor) -> Tensor:
        """A number per latent (d_sae,), for every entry."""
        return vector[self.codes.columns]

    def decode(self, values: Tensor, decoder: Tensor) -> Tensor:
        """``values @ decoder``, (batch, d_in)."""
        return decode(self.codes.with_values(values), decoder)

    def products(self, left: Tensor, decoder: Tensor) -> Tensor:
        """``left @ decoder.T`` for every entry."""
        return sampled_products(left, decoder, self.codes)

    def transposed_product(self, values: Tensor, right: Tensor) -> Tensor:
        """``values.T @ right``, (d_sae, d_in)."""
        return self.by_column.transposed_product(values, right)

    def column_sums(self, values: Tensor) -> Tensor:
        """Sum over the batch, (d_sae,)."""
        return self.by_column.column_sums(values)

    def counts(self, mask: Tensor) -> Tensor:
        """True entries of each latent, (d_sae,) int64."""
        return torch.bincount(self.codes.columns[mask], minlength=self.d_sae)


class Dense:
    """All entries."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def of(self, vector: Tensor) -> Tensor:
        """See `Sparse.of`."""
        return vector

    def decode(self, values: Tensor, decoder: Tensor) -> Tensor:
        """See `Sparse.decode`."""
        return values @ decoder

    def products(self, left: Tensor, decoder: Tensor) -> Tensor:
        """See `Sparse.products`."""
        return left @ decoder.T

    def transposed_product(self, values: Tensor, right: Tensor) -> Tensor:
        """See `Sparse.transposed_product`."""
        return values.T @ right

    def column_sums(self, values: Tensor) -> Tensor:
        """See `Sparse.column_sums`."""
        return values.sum(0)

    def counts(self, mask: Tensor) -> Tensor:
        """See `Sparse.counts`."""
        return mask.sum(0)


def entries_where(mask: Tensor, values: Tensor) -> Sparse | Dense:
    """The True places of a (batch, d_sae) mask over `values`; all places if they are many."""
    if int(mask.sum()) < SPARSE_BELOW * mask.numel():
        return Sparse(from_mask(mask, values), mask.shape[1])
    return Dense(values)
