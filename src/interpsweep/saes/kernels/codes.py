"""Sparse codes and the products of training: decode, sampled products, products by latent.

On a CPU they are compiled loops (`native`). Elsewhere they are torch's own: on a GPU
``embedding_bag`` gathers and sums rows in order, without atomic additions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from interpsweep.saes.kernels import native
from interpsweep.saes.kernels.native import products, spread


class SparseCodes(NamedTuple):
    """A sparse (batch, d_sae) matrix in row order, with float32 values and int64 indices.

    Row b owns entries ``offsets[b]:offsets[b + 1]`` of `columns` and `values`. Entries may be zero
    (a chosen latent whose pre-activation is negative).
    """

    offsets: Tensor  # (batch + 1,)
    columns: Tensor  # (nnz,)
    values: Tensor  # (nnz,)

    @property
    def rows(self) -> Tensor:
        """The row of each entry, (nnz,) int64."""
        batch = torch.arange(len(self.offsets) - 1, device=self.offsets.device)
        return batch.repeat_interleave(self.offsets.diff())

    def dense(self, d_sae: int) -> Tensor:
        """The matrix, (batch, d_sae) float32."""
        full = self.values.new_zeros(len(self.offsets) - 1, d_sae)
        full[self.rows, self.columns] = self.values
        return full

    def with_values(self, values: Tensor) -> SparseCodes:
        """The same places with other values."""
        return self._replace(values=values)

    def keep(self, places: Tensor) -> SparseCodes:
        """The entries at `places` (ascending indices or a mask over entries)."""
        rows = self.rows[places]
        return from_coordinates(
            rows, self.columns[places], self.values[places], len(self.offsets) - 1
        )


def fixed_k(columns: Tensor, values: Tensor) -> SparseCodes:
    """Codes from (batch, k) columns and values."""
    batch, k = columns.shape
    offsets = torch.arange(0, (batch + 1) * k, k, device=columns.device)
    return SparseCodes(offsets, columns.reshape(-1), values.reshape(-1))


def from_mask(mask: Tensor, values: Tensor) -> SparseCodes:
    """Codes from the True places of a (batch, d_sae) mask over dense values."""
    rows, columns = mask.nonzero(as_tuple=True)
    return from_coordinates(rows, columns, values[rows, columns], len(mask))


def from_coordinates(rows: Tensor, columns: Tensor, values: Tensor, batch: int) -> SparseCodes:
    """Codes from entries that are sorted by row."""
    return SparseCodes(cumulative(torch.bincount(rows, minlength=batch)), columns, values)


def cumulative(counts: Tensor) -> Tensor:
    """Where each of consecutive runs of these lengths begins, and the end of the last."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def decode(codes: SparseCodes, decoder: Tensor) -> Tensor:
    """``codes @ decoder``: (batch, d) from a decoder (d_sae, d)."""
    if not native.serves(decoder):
        return _bag(codes.columns, decoder, codes.offsets, codes.values)
    out = decoder.new_empty(len(codes.offsets) - 1, decoder.shape[1])
    spread(products.decode_rows, len(out), *_arrays(*codes, decoder, out))
    return out


class Fit(NamedTuple):
    """What codes of pre-activations reconstruct, and half the gradient of their squared error."""

    acts: Tensor  # (nnz,) the positive pre-activations, else zero
    error: Tensor  # (batch, d) acts @ decoder - target
    to_pre: Tensor  # (nnz,) half the gradient for each pre-activation
    squared: Tensor  # (batch,) squared norms of the errors


def reconstruct(codes: SparseCodes, decoder: Tensor, target: Tensor) -> Fit:
    """How well ``relu(codes) @ decoder`` is `target` (batch, d), with decoder (d_sae, d)."""
    if not native.serves(decoder):
        acts = codes.values.relu()
        error = decode(codes.with_values(acts), decoder) - target
        to_pre = sampled_products(error, decoder, codes) * (acts > 0)
        return Fit(acts, error, to_pre, error.square().sum(1))
    fit = Fit(
        torch.empty_like(codes.values),
        torch.empty_like(target),
        torch.empty_like(codes.values),
        target.new_empty(len(target)),
    )
    spread(products.reconstruct_rows, len(target), *_arrays(*codes, decoder, target, *fit))
    return fit


def sparse_gradients(
    codes: SparseCodes,
    fit: Fit,
    centred: Tensor,
    weight: float,
    encoder: Tensor,
    decoder: Tensor,
    add: bool = False,
) -> tuple[Tensor, Tensor]:
    """Gradients of ``weight / 2 * fit.squared.sum()``: into `encoder` (d_sae, d_in) and `decoder`.

    They are added to what is there, or replace it. `centred` (batch, d_in) is what the encoder
    reads. Returns the gradients of its bias (d_sae,), and in how many rows each latent is positive.
    """
    by_column = ByColumn(codes, len(encoder))
    if not native.serves(encoder):
        for out, values, right in (
            (encoder, fit.to_pre, centred),
            (decoder, fit.acts, fit.error),
        ):
            found = by_column.transposed_product(values, right).mul_(weight)
            out.add_(found) if add else out.copy_(found)
        fired = torch.bincount(codes.columns[fit.acts > 0], minlength=len(encoder))
        return by_column.column_sums(fit.to_pre) * weight, fired
    sums, fired = encoder.new_empty(len(encoder)), torch.empty(len(encoder), dtype=torch.int64)
    places = _arrays(by_column.offsets, by_column.rows, by_column.order)
    arrays = _arrays(fit.acts, fit.to_pre, fit.error, centred, encoder, decoder, sums, fired)
    number = sums.numpy().dtype.type(weight)
    spread(products.gradient_rows, len(encoder), number, add, *places, *arrays)
    return sums, fired


def sampled_products(
    left: Tensor, right: Tensor, codes: SparseCodes, bias: Tensor | None = None
) -> Tensor:
    """``(left @ right.T + bias)`` at the places of `codes` only: (nnz,), float32.

    left is (batch, d), right (d_sae, d), bias (d_sae,).
    """
    if bias is None:
        bias = right.new_zeros(len(right))
    if not native.serves(right):
        leaf = right.new_zeros(len(codes.columns)).requires_grad_()
        with torch.enable_grad():  # the gradient of a bag for its weights is this product
            out = _bag(codes.columns, right, codes.offsets, leaf)
        return torch.autograd.grad(out, leaf, left)[0] + bias[codes.columns]
    out = left.new_empty(len(codes.columns))
    arrays = _arrays(left, right, codes.offsets, codes.columns, bias, out)
    spread(products.products_at, len(left), *arrays)
    return out


class ByColumn:
    """Codes sorted by latent (in row order within one), for products with their transpose."""

    def __init__(self, codes: SparseCodes, d_sae: int) -> None:
        self.batch = len(codes.offsets) - 1
        if native.serves(codes.columns):
            self.offsets = torch.empty(d_sae + 1, dtype=torch.int64)
            self.rows, self.order = torch.empty_like(codes.columns), torch.empty_like(codes.columns)
            places = (codes.offsets, codes.columns, self.offsets, self.rows, self.order)
            products.sort_by_column(*_arrays(*places))
        else:
            self.offsets = cumulative(torch.bincount(codes.columns, minlength=d_sae))
            self.order = torch.sort(codes.columns, stable=True).indices
            self.rows = codes.rows[self.order]

    def transposed_product(
        self, values: Tensor, right: Tensor, out: Tensor | None = None
    ) -> Tensor:
        """``codes.T @ right`` for codes with these `values` (nnz,): (d_sae, d)."""
        if not native.serves(right):
            return _bag(self.rows, right, self.offsets, values[self.order])
        if out is None:
            out = right.new_empty(len(self.offsets) - 1, right.shape[1])
        arrays = _arrays(self.offsets, self.rows, self.order, values, right, out)
        spread(products.transposed_rows, len(out), *arrays)
        return out

    def column_sums(self, values: Tensor) -> Tensor:
        """Sum of `values` over each latent's entries, (d_sae,)."""
        return self.transposed_product(values, values.new_ones(self.batch, 1))[:, 0]


def _bag(indices: Tensor, table: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    return embedding_bag(
        indices, table, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def _arrays(*tensors: Tensor) -> list:
    return [tensor.contiguous().numpy() for tensor in tensors]
