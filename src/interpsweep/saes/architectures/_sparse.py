"""The training step of architectures that choose few latents per batch (topk, batchtopk).

Forward: chosen pre-activations -> relu -> gathered decoder rows. Backward: the same few entries;
no dense (batch, d_sae) gradient exists. Only choosing the latents needs the full encoder product.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from interpsweep.saes.architectures._base import Architecture, Step
from interpsweep.saes.kernels import (
    ENCODE_BYTES,
    ByColumn,
    SparseCodes,
    decode_with_gradient,
    sampled_products,
)


class SparseArchitecture(Architecture):
    """An SAE with unit decoder rows whose active latents are chosen by `choose`."""

    def choose(self, centred: Tensor) -> SparseCodes:
        """The chosen places, with pre-activations before the relu, for (batch, d_in) inputs."""
        raise NotImplementedError

    def step(self, x: Tensor, progress: float, dead: Tensor | None) -> Step:
        """See `Architecture.step`."""
        p, batch = self.parameters, len(x)
        centred = x - p["b_dec"]
        chosen = self.choose(centred)
        codes = chosen.with_values(chosen.values.relu())
        decoded, leaf = decode_with_gradient(codes, p["decoder"])
        error = decoded.detach() - centred
        squared = error.square().sum() / batch
        upstream = error * (2 / batch)

        active = codes.values > 0
        to_pre = torch.autograd.grad(decoded, leaf, upstream)[0] * active
        by_column = ByColumn(codes, self.d_sae)
        b_enc = by_column.column_sums(to_pre)
        gradients = {
            "encoder": by_column.transposed_product(to_pre, centred),
            "decoder": by_column.transposed_product(codes.values, upstream),
            "b_enc": b_enc,
            "b_dec": upstream.sum(0) - b_enc @ p["encoder"],
        }
        loss = squared
        if dead is not None:
            loss = loss + self.auxiliary(centred, -error, dead, gradients)
        fired = torch.bincount(codes.columns[active], minlength=self.d_sae)
        return Step(loss, squared, fired, gradients)

    def pre_activation_blocks(self, centred: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield (first row, pre-activations of a block of rows); the buffer is reused.

        In bfloat16 the values only serve to choose: `exact` computes the chosen ones in float32.
        """
        encoder, bias = self.parameters["encoder"], self.parameters["b_enc"]
        if self.settings.precision == "bfloat16":
            centred, encoder, bias = centred.bfloat16(), encoder.bfloat16(), bias.bfloat16()
        rows = max(64, ENCODE_BYTES // (4 * self.d_sae))
        if centred.device.type != "cpu":
            rows = len(centred)
        buffer = centred.new_empty(min(rows, len(centred)), self.d_sae)
        for first in range(0, len(centred), rows):
            part = centred[first : first + rows]
            yield first, torch.addmm(bias, part, encoder.T, out=buffer[: len(part)])

    def exact(self, centred: Tensor, codes: SparseCodes) -> SparseCodes:
        """Codes with float32 pre-activations at the chosen places."""
        if self.settings.precision == "float32":
            return codes
        products = sampled_products(centred, self.parameters["encoder"], codes)
        return codes.with_values(products + self.parameters["b_enc"][codes.columns])
