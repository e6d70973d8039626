"""TopK SAE: the k largest pre-activations of each token, then relu.

Gao et al. 2024, "Scaling and evaluating sparse autoencoders" (arXiv 2406.04093):
``z = relu(topk((x - b_dec) W_enc + b_enc))``, ``x^ = z W_dec + b_dec``, decoder rows of norm 1,
loss ``||x - x^||^2`` plus AuxK for dead latents.
"""

from __future__ import annotations

from torch import Tensor

from interpsweep.saes.architectures._base import Export
from interpsweep.saes.architectures._sparse import SparseArchitecture
from interpsweep.saes.kernels import SparseCodes, fixed_k, top_columns


class SAE(SparseArchitecture):
    """TopK; `sparsity` is k."""

    def choose(self, centred: Tensor) -> SparseCodes:
        """See `SparseArchitecture.choose`."""
        p, s = self.parameters, self.settings
        columns = top_columns(centred, p["encoder"], p["b_enc"], s.k, s.precision)
        return self.exact(centred, fixed_k(columns, centred.new_empty(columns.shape)))

    def export(self, scale: float) -> Export:
        """See `Architecture.export`."""
        return Export("topk", self.unscaled(scale), {"k": self.settings.k})
