"""Matryoshka SAE: BatchTopK whose leading latents must reconstruct without the rest.

Bussmann et al. 2025, "Learning multi-level features with matryoshka sparse autoencoders" (arXiv
2503.17547). The batch's largest pre-activations are chosen over the whole width, as in batchtopk;
for nested widths g_1 < ... < g_n = d_sae the loss is the mean over levels of
``||x - (b_dec + sum over i < g_l of z_i W_dec,i)||^2`` (the paper sums: Adam does not see the
factor), so broad features settle in the leading latents instead of being absorbed by narrower ones.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from interpsweep.config.saes import nested_widths
from interpsweep.saes.architectures._base import Export, Step
from interpsweep.saes.architectures.batchtopk import SAE as BatchTopK
from interpsweep.saes.kernels import ByColumn, SparseCodes, decode, sampled_products


class SAE(BatchTopK):
    """Matryoshka BatchTopK; `sparsity` is the mean number of active latents per token."""

    def set_up(self, device: str) -> None:
        """See `Architecture.set_up`."""
        super().set_up(device)
        self.widths = nested_widths(self.settings.matryoshka_levels, self.d_sae)

    def step(self, x: Tensor, target: Tensor, progress: float, dead: Tensor | None) -> Step:
        """See `Architecture.step`."""
        p, batch = self.parameters, len(x)
        centred, wanted = self.sides(x, target)
        chosen = self.choose(centred)
        chosen = chosen.with_values(chosen.values.relu())

        # a ring is what one level adds to the one before
        ends = list(pairwise([0, *self.widths]))
        rings = [_ring(chosen, first, last) for first, last in ends]
        decoders = [p["decoder"][first:last] for first, last in ends]
        sums = accumulate(map(decode, rings, decoders))
        errors = [partial - wanted for partial in sums]

        gradients = {name: torch.zeros_like(tensor) for name, tensor in p.items()}
        upstream = torch.zeros_like(wanted)
        # from the outermost ring inwards: a latent serves its own level and all wider ones
        for level in reversed(range(len(rings))):
            ring, (first, last) = rings[level], ends[level]
            upstream = upstream + errors[level] * (2 / batch / len(rings))
            to_pre = sampled_products(upstream, decoders[level], ring) * (ring.values > 0)
            by_column = ByColumn(ring, last - first)
            gradients["encoder"][first:last] = by_column.transposed_product(to_pre, centred)
            gradients["decoder"][first:last] = by_column.transposed_product(ring.values, upstream)
            gradients["b_enc"][first:last] = by_column.column_sums(to_pre)
        gradients["b_dec"] = self.bias_gradient(upstream.sum(0), gradients["b_enc"])

        loss = torch.stack([error.square().sum() for error in errors]).mean() / batch
        squared = errors[-1].square().sum() / batch
        if dead is not None:
            loss = loss + self.auxiliary(centred, -errors[-1], dead, gradients)
        fired = torch.bincount(chosen.columns[chosen.values > 0], minlength=self.d_sae)
        return Step(loss, squared, fired, gradients)

    def export(self, scale: float) -> Export:
        """See `Architecture.export`."""
        return replace(super().export(scale), metadata={"matryoshka_widths": self.widths})


def _ring(codes: SparseCodes, first: int, last: int) -> SparseCodes:
    """The entries of latents [first, last), numbered from `first`."""
    kept = (codes.columns >= first) & (codes.columns < last)
    ring = codes.keep(kept)
    return ring._replace(columns=ring.columns - first)
