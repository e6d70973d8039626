"""ReLU SAE with an L1 penalty weighted by decoder norms.

Conerly et al. 2024 (Anthropic, Circuits Updates April 2024, "Update on how we train SAEs"):
``z = relu((x - b_dec) W_enc + b_enc)``, loss ``||x - x^||^2 + c * sum_i z_i ||W_dec,i||``. Decoder
norms are free; exported activations are folded, so that decoder rows have norm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpsweep.saes.architectures._base import Architecture, Export, Step


class SAE(Architecture):
    """ReLU + L1; `sparsity` is the coefficient c, which rises over `sparsity_warm_up`."""

    initial_norm = 0.1

    def step(self, x: Tensor, progress: float, dead: Tensor | None) -> Step:
        """See `Architecture.step`."""
        p, batch = self.parameters, len(x)
        encoder, decoder = p["encoder"], p["decoder"]
        centred = x - p["b_dec"]
        acts = torch.addmm(p["b_enc"], centred, encoder.T).relu_()
        active = acts > 0
        error = acts @ decoder - centred
        squared = error.square().sum() / batch
        upstream = error * (2 / batch)
        norms = decoder.norm(dim=1)
        coefficient = self._coefficient(progress)
        mean_acts = acts.mean(0)

        to_pre = upstream @ decoder.T
        to_pre.add_(norms * (coefficient / batch)).mul_(active)
        b_enc = to_pre.sum(0)
        toward = decoder * (coefficient * mean_acts / norms.clamp_min(1e-12))[:, None]
        gradients = {
            "encoder": to_pre.T @ centred,
            "decoder": torch.addmm(toward, acts.T, upstream),
            "b_enc": b_enc,
            "b_dec": upstream.sum(0) - b_enc @ encoder,
        }
        loss = squared + coefficient * (mean_acts @ norms)
        return Step(loss, squared, active.sum(0), gradients)

    def _coefficient(self, progress: float) -> float:
        warm_up = self.settings.sparsity_warm_up
        return self.settings.sparsity * (min(1.0, progress / warm_up) if warm_up else 1.0)

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
