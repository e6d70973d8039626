"""BatchTopK SAE: the batch * k largest positive pre-activations of a whole batch.

Bussmann et al. 2024, "BatchTopK sparse autoencoders" (arXiv 2412.06410). As at inference a token
must not depend on its batch, the SAE is exported as jumprelu with one threshold: a moving average
(rate 0.01) over batches of the smallest activation that was kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpsweep.config.saes import TrainSettings
from interpsweep.saes.architectures._base import Export
from interpsweep.saes.architectures._sparse import SparseArchitecture
from interpsweep.saes.kernels import SparseCodes, from_coordinates, largest

THRESHOLD_RATE = 0.01


class SAE(SparseArchitecture):
    """BatchTopK; `sparsity` is the mean number of active latents per token."""

    def __init__(self, settings: TrainSettings, d_in: int, device: str) -> None:
        super().__init__(settings, d_in, device)
        self.buffers["threshold"] = torch.zeros((), dtype=torch.float64, device=device)

    def choose(self, centred: Tensor) -> SparseCodes:
        """See `SparseArchitecture.choose`."""
        count = len(centred) * self.settings.k
        rows, columns, values = self._candidates(centred, count)
        kept = largest(values, count)
        codes = from_coordinates(rows[kept], columns[kept], values[kept], len(centred))
        codes = self.exact(centred, codes)
        self._follow(codes.values)
        return codes

    def _candidates(self, centred: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """All entries that can be among the `count` largest, in row order.

        A first pass with a floor of half the running threshold keeps few entries; if they do not
        suffice, everything positive is kept. The floor changes the time, never the result.
        """
        floor = 0.5 * float(self.buffers["threshold"])
        while True:
            parts = []
            for first, pre in self.pre_activation_blocks(centred):
                rows, columns = (pre > floor).nonzero(as_tuple=True)
                parts.append((rows + first, columns, pre[rows, columns].float()))
            rows, columns, values = (torch.cat(part) for part in zip(*parts, strict=True))
            if floor == 0 or len(values) >= count:
                return rows, columns, values
            floor = 0.0

    def _follow(self, values: Tensor) -> None:
        positive = values[values > 0]
        if len(positive):
            threshold, smallest = self.buffers["threshold"], positive.min().double()
            rate = THRESHOLD_RATE if float(threshold) > 0 else 1.0
            threshold.lerp_(smallest, rate)

    def export(self, scale: float) -> Export:
        """See `Architecture.export`."""
        p = self.parameters
        tensors = {
            "W_enc": p["encoder"].T,
            "W_dec": p["decoder"],
            "b_enc": p["b_enc"] / scale,
            "b_dec": p["b_dec"] / scale,
            "threshold": (self.buffers["threshold"] / scale).float().expand(self.d_sae),
        }
        return Export("jumprelu", tensors, {})
