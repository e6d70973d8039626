"""Metrics of SAEs, each with its exact definition. Sums stream in float64.

METRICS_VERSION goes into every metrics file and table and into the metrics' names: it goes up
whenever a definition or a name changes. Below, e = x - x^, means are over tokens, and x-bar is the
mean activation. A latent is live if it fires on any of the `tokens` tokens.

=====================================  =========================================================
``explained_variance``                 1 - mean ||e||^2 / (mean ||x||^2 - ||x-bar||^2): SAELens
                                       from 6.45.1 on
``explained_variance_legacy``          mean of 1 - ||e||^2 / ||x - x-bar of the batch||^2, batches
                                       of `evaluate.READ_ROWS` tokens: SAELens before 5.6
``explained_variance_saebench``        1 - mean ||e||^2 / (mean ||x||^2 - m^2), m the mean of x^2
                                       over tokens and dimensions: SAEBench 0.6.0 (its baseline is
                                       not the mean; predicting the mean scores far above zero)
``explained_variance_centred``         1 - sum var(e) / sum var(x), dimension by dimension:
                                       dictionary_learning (blind to a constant error)
``explained_variance_openai``          1 - mean ||e||^2 / mean ||x||^2: Gao et al. 2024
``explained_variance_scalar_mean``     1 - sum e^2 / sum (x - scalar mean of x)^2: Overcomplete
``explained_variance_rescaled``        explained_variance of a x^ with the best scalar a; what it
                                       is above explained_variance is lost to shrinkage
``explained_variance_all_rows``        explained_variance of the rows that the mask leaves out as
                                       well
``fvu``                                1 - explained_variance
``mse``                                mean ||e||^2
``cosine``                             mean cosine of x and x^
``l2_ratio``                           mean ||x^|| / ||x||: below 1 means shrinkage
``relative_reconstruction_bias``       mean ||x^||^2 / mean x . x^ (Rajamanoharan et al. 2024);
                                       the best scalar a is its inverse
``centred_scale``                      sum cov(x, x^) / sum var(x^), dimension by dimension: the
                                       best scalar once both means are subtracted; above 1 means
                                       shrinkage, which a large mean hides from the two above
``l0``                                 mean number of latents with a positive activation
``dead_fraction``                      share of latents that fire on none of `tokens` tokens
``dense_fraction``                     share of latents that fire on more than `dense_above`
``training_dead_fraction``             share of latents that did not fire on the last
                                       `training_dead_window` tokens of training (ours only)
``nearest_cosine_q50``, ``_q90``,      quantiles over live latents of the largest cosine of a
``_q99``                               latent's decoder row with that of another live latent
``nearest_cosine_random``              the median of that for as many random directions
``duplicate_fraction``                 share of live latents for which that exceeds
                                       `duplicate_above`
``encoder_decoder_cosine``             mean over live latents of the cosine of encoder column and
                                       decoder row
``ce_recovered``                       (CE_ablated - CE_sae) / (CE_ablated - CE_clean), ablation
                                       by zeros
``kl_recovered``                       (KL_ablated - KL_sae) / KL_ablated, KL(clean || spliced)
=====================================  =========================================================
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vecdot

from interpsweep.saes.kernels import SparseCodes

METRICS_VERSION = 2
_TINY = 1e-12
_EDGES = np.arange(-7.0, 0.01, 0.5)  # log10 of densities
_NEVER = torch.iinfo(torch.int64).max


class Truth:
    """A batch of activations that SAEs are to reconstruct, with what all of them compare with it.

    Attributes: `x` (n, d) float32; `exact`, the same in float64; `squares` (n,) the squared norms;
    `spread` (n,) the squared distances from the batch's mean; `row` of the first activation.
    """

    def __init__(self, x: Tensor, row: int = 0) -> None:
        self.x, self.row = x, row
        self.exact = x.double()
        self.squares = vecdot(self.exact, self.exact)
        mean = self.exact.mean(0)
        self.spread = self.squares - 2 * (self.exact @ mean) + mean @ mean

    def __len__(self) -> int:
        return len(self.x)


class Reconstruction:
    """How well x^ stands for x; feed batches to `update`, read `results`."""

    def __init__(self, d_in: int, device: str | torch.device = "cpu") -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.tokens = 0
        self._x, self._e = zeros(d_in), zeros(d_in)
        # sums over tokens of: |x|^2, |e|^2, |x^|^2, x.x^, |x^|/|x|, cosine, legacy
        self._sums = zeros(7)

    def update(self, truth: Truth, reconstruction: Tensor) -> Tensor:
        """Add a batch reconstructed as (n, d); return its squared errors (n,) float64."""
        hat = reconstruction.double()
        xx, hh = truth.squares, vecdot(hat, hat)
        e = torch.sub(truth.exact, hat, out=hat)
        ee = vecdot(e, e)
        xh = (xx + hh - ee) / 2
        norms = (xx * hh).sqrt().clamp_min(_TINY)
        ratio = (hh / xx.clamp_min(_TINY)).sqrt()
        legacy = 1 - ee / truth.spread.clamp_min(_TINY)
        self.tokens += len(truth)
        self._x += truth.exact.sum(0)
        self._e += e.sum(0)
        self._sums += torch.stack([p.sum() for p in (xx, ee, hh, xh, ratio, xh / norms, legacy)])
        return ee

    def together(self, other: Reconstruction) -> Reconstruction:
        """What both have seen."""
        both = Reconstruction(len(self._x), self._x.device)
        both.tokens = self.tokens + other.tokens
        both._x, both._e = self._x + other._x, self._e + other._e
        both._sums = self._sums + other._sums
        return both

    @property
    def mean(self) -> np.ndarray:
        """x-bar, (d_in,) float64."""
        return (self._x / self.tokens).cpu().numpy()

    def results(self) -> dict[str, float | None]:
        """All metrics of reconstruction; None where nothing is to be explained."""
        xx, ee, hh, xh, ratio, cosine, legacy = (self._sums / self.tokens).tolist()
        mean, mean_e = self.mean, (self._e / self.tokens).cpu().numpy()
        mean_hat, d_in = mean - mean_e, len(mean)
        variance = xx - float(mean @ mean)
        explained = _explained(ee, variance)
        return {
            "explained_variance": explained,
            "explained_variance_legacy": legacy,
            "explained_variance_saebench": _explained(ee, xx - (xx / d_in) ** 2),
            "explained_variance_centred": _explained(ee - float(mean_e @ mean_e), variance),
            "explained_variance_openai": _explained(ee, xx),
            "explained_variance_scalar_mean": _explained(ee, xx - d_in * float(mean.mean()) ** 2),
            "explained_variance_rescaled": _explained(xx - (_ratio(xh, hh) or 0.0) * xh, variance),
            "fvu": None if explained is None else 1 - explained,
            "mse": ee,
            "cosine": cosine,
            "l2_ratio": ratio,
            "relative_reconstruction_bias": _ratio(hh, xh),
            "centred_scale": _ratio(xh - float(mean @ mean_hat), hh - float(mean_hat @ mean_hat)),
        }


def _explained(error: float, baseline: float) -> float | None:
    return 1 - error / baseline if baseline > _TINY else None


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > _TINY else None


class FiringCounts:
    """How often latents fire, and since when."""

    def __init__(self, d_sae: int, device: str | torch.device = "cpu") -> None:
        self.tokens = 0
        self._count = torch.zeros(d_sae, dtype=torch.int64, device=device)
        self._first = torch.full((d_sae,), _NEVER, dtype=torch.int64, device=device)

    def update(self, codes: SparseCodes) -> Tensor:
        """Add codes; entries of zero do not count. Returns active latents (n,) int64 per token."""
        fired = codes.values > 0
        columns, rows, size = codes.columns[fired], codes.rows[fired], len(self._count)
        self._count += torch.bincount(columns, minlength=size)
        fresh = self._first[columns] == _NEVER
        self._first.scatter_reduce_(0, columns[fresh], rows[fresh] + self.tokens, "amin")
        tokens = len(codes.offsets) - 1
        self.tokens += tokens
        return torch.bincount(rows, minlength=tokens)

    @property
    def counts(self) -> np.ndarray:
        """Tokens on which each latent fires, (d_sae,) int64."""
        return self._count.cpu().numpy()

    @property
    def first(self) -> np.ndarray:
        """Number of tokens seen before each latent first fires, -1 if it never does, (d_sae,)."""
        first = self._first.cpu().numpy()
        return np.where(first == _NEVER, -1, first)

    @property
    def densities(self) -> np.ndarray:
        """Share of the tokens on which each latent fires, (d_sae,)."""
        return self.counts / self.tokens

    def results(self, dense_above: float) -> dict[str, float | None]:
        """L0 and the shares of dead and dense latents."""
        return {
            "l0": float(self.counts.sum()) / self.tokens,
            "dead_fraction": float((self.counts == 0).mean()),
            "dense_fraction": float((self.densities > dense_above).mean()),
        }

    def dead_windows(self) -> dict[str, list]:
        """Share of latents that fire on none of the first 1,000, 10,000, ... and of all tokens."""
        first = self.first
        windows = [10**power for power in range(3, 20) if 10**power < self.tokens]
        dead = [float(((first < 0) | (first >= size)).mean()) for size in [*windows, self.tokens]]
        return {"tokens": [*windows, self.tokens], "dead_fraction": dead}

    def histogram(self) -> dict[str, list]:
        """Latents per bin of log10 density; ``never`` counts those that do not fire."""
        fires = self.counts > 0
        logs = np.log10(self.densities[fires]).clip(_EDGES[0], _EDGES[-1])
        counts, edges = np.histogram(logs, bins=_EDGES)
        return {
            "log10_density_edges": edges.tolist(),
            "latents": counts.tolist(),
            "never": [int((~fires).sum())],
        }
