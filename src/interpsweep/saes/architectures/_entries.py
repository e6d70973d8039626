"""The entries of a (batch, d_sae) matrix that matter to a step: sparse if few, dense otherwise.

Architectures with thresholds (relu, gated, jumprelu) start with many active latents and end with
few. Both forms have the same operations, so that their steps are written once. "Values" are one
number per entry: (nnz,) in the sparse form, (batch, d_sae) in the dense one, where a value at a
place that does not matter must be zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpsweep.saes.kernels import (
    ByColumn,
    Precision,
    SparseCodes,
    decode,
    dense,
    few_above,
    native,
    rounded,
    sampled_products,
)

# share of entries below which gathering rows beats dense products
SPARSE_BELOW: dict[Precision, float] = {"float32": 1 / 16, "bfloat16": 1 / 48}


class Sparse:
    """Entries at the places of `codes`."""

    def __init__(self, codes: SparseCodes, d_sae: int) -> None:
        self.codes, self.d_sae = codes, d_sae
        self.by_column = ByColumn(codes, d_sae)

    @property
    def values(self) -> Tensor:
        """What the entries were made from."""
        return self.codes.values

    def relu(self) -> tuple[Tensor, Tensor]:
        """`values` or zero, and the mask of the positive ones. `values` itself may be changed."""
        return self.values.relu(), self.values > 0

    def of(self, vector: Tensor) -> Tensor:
        """A number per latent (d_sae,), for every entry."""
        return vector[self.codes.columns]

    def decode(self, values: Tensor, decoder: Tensor) -> Tensor:
        """``values @ decoder``, (batch, d_in)."""
        return decode(self.codes.with_values(values), decoder)

    def products(self, left: Tensor, decoder: Tensor) -> Tensor:
        """``left @ decoder.T`` for every entry."""
        return sampled_products(left, decoder, self.codes)

    def transposed_product(
        self, values: Tensor, right: Tensor, out: Tensor | None = None
    ) -> Tensor:
        """``values.T @ right``, (d_sae, d_in), into `out` if given."""
        return self.by_column.transposed_product(values, right, out)

    def where(self, mask: Tensor, values: Tensor) -> Tensor:
        """`values` where `mask` is true, zero elsewhere. `values` itself may be changed."""
        return values * mask

    def column_sums(self, values: Tensor) -> Tensor:
        """Sum over the batch, (d_sae,)."""
        return self.by_column.column_sums(values)

    def counts(self, mask: Tensor) -> Tensor:
        """True entries of each latent, (d_sae,) int64."""
        return torch.bincount(self.codes.columns[mask], minlength=self.d_sae)


class Dense:
    """All entries, in the format that products of matrices with `precision` take."""

    def __init__(self, values: Tensor, precision: Precision) -> None:
        self.values, self.precision = values, precision

    def relu(self) -> tuple[Tensor, Tensor]:
        """See `Sparse.relu`."""
        positive = dense.relu_(self.values)
        return self.values, positive

    def of(self, vector: Tensor) -> Tensor:
        """See `Sparse.of`."""
        return vector.to(self.values.dtype)

    def decode(self, values: Tensor, decoder: Tensor) -> Tensor:
        """See `Sparse.decode`."""
        return native.matmul(values, self._rounded(decoder)).to(decoder.dtype)

    def products(self, left: Tensor, decoder: Tensor) -> Tensor:
        """See `Sparse.products`."""
        return native.matmul(self._rounded(left), self._rounded(decoder).T)

    def transposed_product(
        self, values: Tensor, right: Tensor, out: Tensor | None = None
    ) -> Tensor:
        """See `Sparse.transposed_product`."""
        found = native.matmul(values.T, self._rounded(right))
        return found.to(right.dtype) if out is None else out.copy_(found)

    def where(self, mask: Tensor, values: Tensor) -> Tensor:
        """See `Sparse.where`."""
        return dense.keep_(mask, values)

    def column_sums(self, values: Tensor) -> Tensor:
        """See `Sparse.column_sums`."""
        return dense.column_sums(values)

    def counts(self, mask: Tensor) -> Tensor:
        """See `Sparse.counts`."""
        return dense.column_counts(mask)

    def _rounded(self, matrix: Tensor) -> Tensor:
        return rounded(matrix, self.precision)


def entries_above(
    centred: Tensor, encoder: Tensor, bias: Tensor, floor: Tensor | float, precision: Precision
) -> Sparse | Dense:
    """Places with a pre-activation above `floor`, one number or one per latent (d_sae,).

    centred (batch, d_in), encoder (d_sae, d_in), bias (d_sae,). The values are the pre-activations;
    in the sparse form they are exact (float32), and with bfloat16 the comparison is approximate.
    """
    limit = int(SPARSE_BELOW[precision] * len(centred) * len(encoder))
    codes = few_above(centred, encoder, bias - floor, 0.0, limit)
    if codes is None:
        pre = native.matmul(rounded(centred, precision), rounded(encoder.T, precision))
        return Dense(pre.add_(rounded(bias, precision)), precision)
    exact = sampled_products(centred, encoder, codes, bias)  # without the rounding of bias - floor
    return Sparse(codes.with_values(exact), len(encoder))
