"""TopK SAE: the k largest pre-activations of each token, then relu.

Gao et al. 2024, "Scaling and evaluating sparse autoencoders" (arXiv 2406.04093):
``z = relu(topk((x - b_dec) W_enc + b_enc))``, ``x^ = z W_dec + b_dec``, decoder rows of norm 1,
loss ``||x - x^||^2`` plus AuxK for dead latents.
"""

from __future__ import annotations

from torch import Tensor

from interpsweep.saes.architectures._base import Export
from interpsweep.saes.architectures._sparse import SparseArchitecture
from interpsweep.saes.kernels import SparseCodes, top_columns


class SAE(SparseArchitecture):
    """TopK; `sparsity` is k."""

    def choose(self, centred: Tensor) -> SparseCodes:
        """See `SparseArchitecture.choose`."""
        p = self.parameters
        return top_columns(centred, p["encoder"], p["b_enc"], self.settings.k)

    def export(self, scale: float) -> Export:
        """See `Architecture.export`."""
        return Export("topk", self.unscaled(scale), {"k": self.settings.k})
