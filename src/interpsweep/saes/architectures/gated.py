"""Gated SAE: whether a latent fires and how strongly are decided by separate biases and a scale.

Rajamanoharan et al. 2024, "Improving dictionary learning with gated sparse autoencoders" (arXiv
2404.16014). With ``p = (x - b_dec) W_gate``, gate ``g = p + b_gate``, magnitude
``m = p * exp(r_mag) + b_mag`` and activations ``z = 1[g > 0] * relu(m)``, the loss is

    ||x - x^(z)||^2 + c * sum relu(g) + ||x - x^frozen(relu(g))||^2

where x^frozen decodes with weights and bias that get no gradient: the penalty shrinks the gate's
values, never the magnitudes. Decoder rows have norm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpsweep.saes.architectures._base import Architecture, Export, Step
from interpsweep.saes.architectures._entries import entries_above


class SAE(Architecture):
    """Gated; `sparsity` is the coefficient c. ``encoder`` is W_gate, ``b_enc`` its bias."""

    def set_up(self, device: str) -> None:
        """See `Architecture.set_up`."""
        for name in ("r_mag", "b_mag"):
            self.parameters[name] = torch.zeros(self.d_sae, device=device)

    def step(self, x: Tensor, target: Tensor, progress: float, dead: Tensor | None) -> Step:
        """See `Architecture.step`."""
        p, batch = self.parameters, len(x)
        decoder, scale = p["decoder"], p["r_mag"].exp()
        centred, wanted = self.sides(x, target)
        # nothing happens where the gate is shut
        entries = entries_above(centred, p["encoder"], p["b_enc"], 0.0, self.settings.precision)
        gate = entries.values.relu()
        projected = entries.values - entries.of(p["b_enc"])
        magnitude = projected * entries.of(scale) + entries.of(p["b_mag"])
        active = (gate > 0) & (magnitude > 0)
        acts = entries.where(active, magnitude)

        error = entries.decode(acts, decoder) - wanted
        gate_error = entries.decode(gate, decoder) - wanted
        upstream, gate_upstream = error * (2 / batch), gate_error * (2 / batch)
        c = self.settings.sparsity * self.coefficient(progress)
        to_magnitude = entries.where(active, entries.products(upstream, decoder))
        to_gate = entries.where(gate > 0, entries.products(gate_upstream, decoder) + c / batch)
        to_projected = to_magnitude * entries.of(scale) + to_gate

        gradients = {
            **self.weight_gradients(entries, acts, to_projected, centred, upstream),
            "b_enc": entries.column_sums(to_gate),  # the gate's alone
            "r_mag": entries.column_sums(to_magnitude * projected) * scale,
            "b_mag": entries.column_sums(to_magnitude),
        }
        squared = error.square().sum() / batch
        loss = squared + (c * entries.column_sums(gate).sum() + gate_error.square().sum()) / batch
        return Step(loss, squared, entries.counts(active), gradients)

    def centre_input(self, centre: Tensor) -> None:
        """See `Architecture.centre_input`."""
        super().centre_input(centre)
        self.parameters["b_mag"].copy_(self.parameters["b_enc"])

    def export(self, scale: float) -> Export:
        """See `Architecture.export`."""
        p, tensors = self.parameters, self.unscaled(scale)
        tensors["b_gate"] = tensors.pop("b_enc")
        magnitude = {"r_mag": p["r_mag"], "b_mag": p["b_mag"] / scale}
        return Export("gated", {**tensors, **magnitude}, {})
