"""ReLU SAE with an L1 penalty weighted by decoder norms.

Conerly et al. 2024 (Anthropic, Circuits Updates April 2024, "Update on how we train SAEs"):
``z = relu((x - b_dec) W_enc + b_enc)``, loss ``||x - x^||^2 + c * sum_i z_i ||W_dec,i||``. Decoder
norms are free; exported activations are folded, so that decoder rows have norm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpsweep.saes.architectures._base import Architecture, Export, Step
from interpsweep.saes.architectures._entries import entries_above


class SAE(Architecture):
    """ReLU + L1; `sparsity` is the coefficient c, which rises over `sparsity_warm_up`."""

    initial_norm = 0.1

    def step(self, x: Tensor, target: Tensor, progress: float, dead: Tensor | None) -> Step:
        """See `Architecture.step`."""
        p, batch = self.parameters, len(x)
        decoder = p["decoder"]
        centred, wanted = self.sides(x, target)
        entries = entries_above(centred, p["encoder"], p["b_enc"], 0.0, self.settings.precision)
        acts, active = entries.relu()
        error = entries.decode(acts, decoder) - wanted
        upstream = error * (2 / batch)
        norms = decoder.norm(dim=1)
        c = self.settings.sparsity * self.coefficient(progress)
        mean_acts = entries.column_sums(acts) / batch

        to_pre = entries.products(upstream, decoder)
        to_pre = entries.where(active, to_pre.add_(entries.of(norms * (c / batch))))
        gradients = self.weight_gradients(entries, acts, to_pre, centred, upstream)
        outward = c * mean_acts / norms.clamp_min(1e-12)  # the penalty on the norms themselves
        gradients["decoder"].addcmul_(decoder, outward[:, None])
        squared = error.square().sum() / batch
        loss = squared + c * (mean_acts @ norms)
        return Step(loss, squared, entries.counts(active), gradients)

    def after_update(self) -> None:
        """Nothing must hold: norms are free."""

    def export(self, scale: float) -> Export:
        """See `Architecture.export`."""
        p = self.parameters
        norms = p["decoder"].norm(dim=1)
        # a row that the penalty has driven to zero keeps its latent silent
        safe = torch.where(norms > 0, norms, 1)
        tensors = {
            "W_enc": (p["encoder"] * norms[:, None]).T,
            "W_dec": p["decoder"] / safe[:, None],
            "b_enc": p["b_enc"] * norms / scale,
            "b_dec": p["b_dec"] / scale,
        }
        return Export("standard", tensors, {})
