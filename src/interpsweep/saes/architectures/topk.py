"""TopK SAE: the k largest pre-activations of each token, then relu.

Gao et al. 2024, "Scaling and evaluating sparse autoencoders" (arXiv 2406.04093):
``z = relu(topk((x - b_dec) W_enc + b_enc))``, ``x^ = z W_dec + b_dec``, decoder rows of norm 1,
loss ``||x - x^||^2`` plus AuxK for dead latents.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interpsweep.saes.architectures._base import Export
from interpsweep.saes.architectures._sparse import SparseArchitecture
from interpsweep.saes.kernels import SparseCodes, fixed_k, top_k


class SAE(SparseArchitecture):
    """TopK; `sparsity` is k."""

    def choose(self, centred: Tensor) -> SparseCodes:
        """See `SparseArchitecture.choose`."""
        found = [top_k(pre, self.settings.k) for _, pre in self.pre_activation_blocks(centred)]
        values = torch.cat([values for values, _ in found])
        columns = torch.cat([columns for _, columns in found])
        return self.exact(centred, fixed_k(columns, values.float()))

    def export(self, scale: float) -> Export:
        """See `Architecture.export`."""
        p = self.parameters
        tensors = {
            "W_enc": p["encoder"].T,
            "W_dec": p["decoder"],
            "b_enc": p["b_enc"] / scale,
            "b_dec": p["b_dec"] / scale,
        }
        return Export("topk", tensors, {"k": self.settings.k})
