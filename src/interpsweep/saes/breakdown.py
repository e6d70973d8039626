"""Where the error sits: squared error and L0 by position in the context and by norm.

Each group of tokens is compared with the variance of its activations around the mean of all
tokens, so that the error of the whole is the mean of its groups', weighted by that variance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from interpsweep.saes.metrics import METRICS_VERSION, Truth

SINGLE = 64  # leading positions that have a group of their own
PER_OCTAVE = 8  # groups per doubling of the position after that
NORM_GROUPS = 10


def position_edges(length: int) -> np.ndarray:
    """Edges of groups of positions 0 .. length - 1: single ones, then logarithmic; int64."""
    octaves = np.log2(max(length, SINGLE) / SINGLE)
    steps = np.arange(np.floor(octaves * PER_OCTAVE) + 1) / PER_OCTAVE
    later = np.round(SINGLE * 2**steps).astype(np.int64)
    edges = np.unique(np.concatenate([np.arange(min(SINGLE, length)), later, [length]]))
    return edges[edges <= length]


def norm_edges(norms: np.ndarray) -> np.ndarray:
    """Edges of ten groups of norms: the deciles of some `norms`; the outer ones are 0 and inf."""
    inner = np.quantile(norms, np.arange(1, NORM_GROUPS) / NORM_GROUPS)
    return np.unique(np.concatenate([[0.0], inner, [np.inf]]))


class Groups:
    """Groups of tokens by a number that lies between two of `edges` (g + 1,), all SAEs alike."""

    def __init__(self, edges: np.ndarray, d_in: int, device: str | torch.device = "cpu") -> None:
        self.edges = edges
        size = len(edges) - 1
        self._edges = torch.from_numpy(edges).to(device)
        self._counts = torch.zeros(size, dtype=torch.float64, device=device)
        self._squares = torch.zeros(size, dtype=torch.float64, device=device)
        self._x = torch.zeros(size, d_in, dtype=torch.float64, device=device)

    def __len__(self) -> int:
        return len(self.edges) - 1

    def members(self, values: Tensor, truth: Truth) -> Tensor:
        """Count a batch in; return who belongs where: (g, n) float64 of zeros and ones."""
        group = torch.bucketize(values, self._edges, right=True) - 1
        own = torch.arange(len(self), device=values.device)
        members = (own[:, None] == group).double()
        self._counts += members.sum(1)
        self._squares += members @ truth.squares
        self._x += members @ truth.exact
        return members

    def table(self, sums: Tensor, mean: np.ndarray, names: tuple[str, str]) -> pd.DataFrame:
        """One row per group that has tokens; `sums` (g, 2) of squared error and active latents.

        `mean` (d,) is that of all tokens, `names` those of the columns for a group's edges.
        """
        counts, squares, x = (t.cpu().numpy() for t in (self._counts, self._squares, self._x))
        found = counts > 0
        counts, squares, x = counts[found], squares[found], x[found]
        error, active = sums.cpu().numpy()[found].T / counts
        variance = squares / counts - 2 * (x @ mean) / counts + mean @ mean
        with np.errstate(divide="ignore", invalid="ignore"):
            fvu = np.where(variance > 1e-12, error / variance, np.nan)
        return pd.DataFrame(
            {
                names[0]: self.edges[:-1][found],
                names[1]: self.edges[1:][found],
                "tokens": counts.astype(np.int64),
                "variance": variance,
                "mse": error,
                "fvu": fvu,
                "explained_variance": 1 - fvu,
                "l0": active,
                "metrics_version": np.int32(METRICS_VERSION),
            }
        )


def add(sums: Tensor, members: Tensor, squared_errors: Tensor, active: Tensor) -> None:
    """Add a batch's squared errors and numbers of active latents (n,) to `sums` (g, 2)."""
    sums += members @ torch.stack([squared_errors, active.double()], dim=1)
