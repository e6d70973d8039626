"""The training step of architectures whose codes are sparse.

Forward: chosen pre-activations -> activations -> gathered decoder rows. Backward: the same few
entries; no dense (batch, d_sae) gradient exists. Only choosing the latents needs the full encoder
product.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpsweep.saes.architectures._base import Architecture, Step
from interpsweep.saes.kernels import ByColumn, SparseCodes, reconstruct, sampled_products


class SparseArchitecture(Architecture):
    """An SAE with unit decoder rows whose active latents are chosen by `choose`."""

    def choose(self, centred: Tensor) -> SparseCodes:
        """The chosen places, with pre-activations before the relu, for (batch, d_in) inputs."""
        raise NotImplementedError

    def step(self, x: Tensor, target: Tensor, progress: float, dead: Tensor | None) -> Step:
        """See `Architecture.step`."""
        p, batch = self.parameters, len(x)
        centred, wanted = self.sides(x, target)
        chosen = self.choose(centred)
        codes = chosen.with_values(chosen.values.relu())
        active = codes.values > 0
        error, products = reconstruct(codes, p["decoder"], wanted)
        squared = error.square().sum() / batch
        upstream, to_pre = error * (2 / batch), products * active * (2 / batch)

        by_column = ByColumn(codes, self.d_sae)
        gradients = self.weight_gradients(by_column, codes.values, to_pre, centred, upstream)
        loss = squared
        if dead is not None:
            loss = loss + self.auxiliary(centred, -error, dead, gradients)
        fired = torch.bincount(codes.columns[active], minlength=self.d_sae)
        return Step(loss, squared, fired, gradients)

    def exact(self, centred: Tensor, codes: SparseCodes) -> SparseCodes:
        """The same places with float32 pre-activations, however they were found."""
        p = self.parameters
        return codes.with_values(sampled_products(centred, p["encoder"], codes, p["b_enc"]))
