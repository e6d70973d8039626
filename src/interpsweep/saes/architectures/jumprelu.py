"""JumpReLU SAE: every latent has a threshold of its own, trained by straight-through estimates.

Rajamanoharan et al. 2024, "Jumping ahead" (arXiv 2407.14435): ``z = u * 1[u > theta]`` with
pre-activations ``u = (x - b_dec) W_enc + b_enc``, loss ``||x - x^||^2`` plus a penalty on
``L0 = sum 1[u > theta]``. Both steps have zero derivative almost everywhere; in their place stand
estimates by a rectangle of width e (`jumprelu_bandwidth`) around the threshold,

    dz/dtheta = -theta / e * 1[|u - theta| < e / 2],    d1[u > theta]/dtheta = -1 / e * (the same),

while u is moved by the reconstruction alone. The penalty is by default the paper's for a given
sparsity, ``c (L0 / target - 1)^2`` with L0 the mean of the batch: nobody has to search for a
coefficient, and SAEs of different widths are comparable with topk at k = target. Alternatives: a
fixed coefficient on L0, or on ``sum tanh(4 z)`` (Conerly et al. 2025, Anthropic, Circuits Updates
January 2025), which also moves u.

Thresholds start where the first batch has START times the target, equal for all latents: with a
threshold near zero half of all latents would fire at first, and short trainings end before the
thresholds have risen. They are float32 always, and never fall below zero. Adam moves a weight by
about the learning rate per step, however large its gradient; so that short trainings end at their
target too, thresholds then have a higher one, at which they can travel TRAVEL in all steps (but at
most a tenth of their window in one). Dead latents get AuxK as in topk (not in the paper): no
estimate reaches a latent that stays far below its threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpsweep.saes.architectures._base import Architecture, Export, Step
from interpsweep.saes.architectures._entries import entries_above

START = 4.0  # L0 of the first batch, in targets
START_SHARE = 0.1  # largest share of the latents active in it; all of it without a target
TARGET_WEIGHT = 10.0  # c, per dimension (scaled activations have a squared norm of about d_in)
TANH_SLOPE = 4.0
# on activations scaled to norm sqrt(d_in), where pre-activations start with a mean square of 1
TRAVEL = 3.0


class SAE(Architecture):
    """JumpReLU; `sparsity` is the target L0, or the coefficient of the other penalties."""

    def set_up(self, device: str) -> None:
        """See `Architecture.set_up`."""
        self.parameters["threshold"] = torch.zeros(self.d_sae, device=device)

    def step(self, x: Tensor, target: Tensor, progress: float, dead: Tensor | None) -> Step:
        """See `Architecture.step`."""
        p, batch, width = self.parameters, len(x), self.settings.jumprelu_bandwidth
        decoder, threshold = p["decoder"], p["threshold"]
        centred, wanted = self.sides(x, target)
        if progress == 0:
            threshold.fill_(self._first_threshold(centred))
        floor = threshold - width / 2  # above it: active, or in the window
        entries = entries_above(centred, p["encoder"], p["b_enc"], floor, self.settings.precision)
        pre, theta = entries.values, entries.of(threshold)
        active, near = pre > theta, (pre - theta).abs() < width / 2
        acts = entries.where(active, pre)

        error = entries.decode(acts, decoder) - wanted
        upstream = error * (2 / batch)
        fired = entries.counts(active)
        l0 = fired.sum().to(x.dtype) / batch
        penalty, per_firing, to_acts = self._penalty(acts, l0, progress, batch)
        to_acts = entries.products(upstream, decoder) + to_acts
        to_threshold = entries.where(near, (theta * to_acts + per_firing) * (-1 / width))
        to_pre = entries.where(active, to_acts)

        gradients = self.weight_gradients(entries, acts, to_pre, centred, upstream)
        gradients["threshold"] = entries.column_sums(to_threshold)
        squared = error.square().sum() / batch
        loss = squared + penalty
        if dead is not None:
            loss = loss + self.auxiliary(centred, -error, dead, gradients)
        return Step(loss, squared, fired, gradients)

    def _penalty(
        self, acts: Tensor, l0: Tensor, progress: float, batch: int
    ) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """The penalty, its derivative by each firing, and its derivative by the activations."""
        s, share = self.settings, self.coefficient(progress)
        if s.jumprelu_penalty == "target":
            c, excess = share * TARGET_WEIGHT * self.d_out, l0 / s.sparsity - 1
            return c * excess.square(), (2 * c / s.sparsity / batch) * excess, 0.0
        c = share * s.sparsity
        if s.jumprelu_penalty == "l0":
            return c * l0, c / batch, 0.0
        bent = torch.tanh(TANH_SLOPE * acts)
        return c * bent.sum() / batch, 0.0, (c * TANH_SLOPE / batch) * (1 - bent.square())

    def _first_threshold(self, centred: Tensor) -> Tensor:
        """The value that START targets of a batch's pre-activations exceed."""
        pre = torch.addmm(self.parameters["b_enc"], centred, self.parameters["encoder"].T)
        most = START_SHARE * self.d_sae
        if self.settings.jumprelu_penalty == "target":
            most = min(most, START * self.settings.sparsity)
        count = max(1, round(most * len(centred)))
        return pre.flatten().topk(count).values[-1].clamp_min(0)

    def rate_factor(self, name: str) -> float:
        """See `Architecture.rate_factor`."""
        s = self.settings
        if name != "threshold" or s.jumprelu_penalty != "target":
            return 1.0
        wanted = min(TRAVEL / s.steps, s.jumprelu_bandwidth / 10)
        return max(1.0, wanted / s.peak_learning_rate)

    def after_update(self) -> None:
        """Decoder rows of norm 1, thresholds not below zero."""
        super().after_update()
        self.parameters["threshold"].clamp_min_(0)

    def export(self, scale: float) -> Export:
        """See `Architecture.export`."""
        threshold = self.parameters["threshold"] / scale
        return Export("jumprelu", {**self.unscaled(scale), "threshold": threshold}, {})
