"""BatchTopK SAE: the batch * k largest positive pre-activations of a whole batch.

Bussmann et al. 2024, "BatchTopK sparse autoencoders" (arXiv 2412.06410). As at inference a token
must not depend on its batch, the SAE is exported as jumprelu with one threshold: a moving average
over batches of the smallest activation that was kept (rate 0.01; in trainings of less than 2000
steps 20 / steps, since the average would still remember the first ones).
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpsweep.saes.architectures._base import Export
from interpsweep.saes.architectures._sparse import SparseArchitecture
from interpsweep.saes.kernels import SparseCodes, above, keep_largest

THRESHOLD_RATE, THRESHOLD_STEPS = 0.01, 20


class SAE(SparseArchitecture):
    """BatchTopK; `sparsity` is the mean number of active latents per token."""

    def set_up(self, device: str) -> None:
        """See `Architecture.set_up`."""
        self.buffers["threshold"] = torch.zeros((), dtype=torch.float64, device=device)

    def choose(self, centred: Tensor) -> SparseCodes:
        """See `SparseArchitecture.choose`."""
        count = len(centred) * self.settings.k
        candidates = self._candidates(centred, count)
        codes = keep_largest(candidates, count)
        self._follow(codes.values)
        return codes

    def _candidates(self, centred: Tensor, count: int) -> SparseCodes:
        """All entries that can be among the `count` largest positive ones, in row order.

        A first pass with a floor of half the running threshold keeps few entries; if they do not
        suffice, everything positive is kept. The floor changes the time, never the result.
        """
        p = self.parameters
        floor = 0.5 * float(self.buffers["threshold"])
        found = above(centred, p["encoder"], p["b_enc"], floor)
        if floor > 0 and len(found.values) < count:
            found = above(centred, p["encoder"], p["b_enc"], 0.0)
        return found

    def _follow(self, values: Tensor) -> None:
        positive = values[values > 0]
        if len(positive):
            threshold, smallest = self.buffers["threshold"], positive.min().double()
            rate = max(THRESHOLD_RATE, min(1.0, THRESHOLD_STEPS / self.settings.steps))
            threshold.lerp_(smallest, rate if float(threshold) > 0 else 1.0)

    def export(self, scale: float) -> Export:
        """See `Architecture.export`."""
        threshold = (self.buffers["threshold"] / scale).float().expand(self.d_sae)
        return Export("jumprelu", {**self.unscaled(scale), "threshold": threshold}, {})
