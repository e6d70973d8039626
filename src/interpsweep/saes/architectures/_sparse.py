"""The training step of architectures whose codes are sparse.

Forward: chosen pre-activations -> activations -> gathered decoder rows. Backward: the same few
entries; no dense (batch, d_sae) gradient exists. Only choosing the latents needs the full encoder
product.
"""

from __future__ import annotations

from torch import Tensor

from interpsweep.saes.architectures._base import Architecture, Step
from interpsweep.saes.kernels import SparseCodes, reconstruct, sparse_gradients


class SparseArchitecture(Architecture):
    """An SAE with unit decoder rows whose active latents are chosen by `choose`."""

    def choose(self, centred: Tensor) -> SparseCodes:
        """The chosen places, with pre-activations before the relu, for (batch, d_in) inputs."""
        raise NotImplementedError

    def step(self, x: Tensor, target: Tensor, progress: float, dead: Tensor | None) -> Step:
        """See `Architecture.step`."""
        batch, (centred, wanted) = len(x), self.sides(x, target)
        codes = self.choose(centred)
        fit = reconstruct(codes, self.parameters["decoder"], wanted)
        gradients = {name: self.gradient_of(name) for name in ("encoder", "decoder")}
        gradients["b_enc"], fired = sparse_gradients(
            codes, fit, centred, 2 / batch, gradients["encoder"], gradients["decoder"]
        )
        direct = fit.error.sum(0).mul_(2 / batch)
        gradients["b_dec"] = self.bias_gradient(direct, gradients["b_enc"])
        loss = squared = fit.squared.sum() / batch
        if dead is not None:
            loss = loss + self.auxiliary(centred, -fit.error, dead, gradients)
        return Step(loss, squared, fired, gradients)
