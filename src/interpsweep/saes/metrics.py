"""Metrics of SAEs, each with its exact definition. Sums stream in float64.

METRICS_VERSION goes into every metrics file and into the metrics' names: it goes up whenever a
definition changes. Below, e = x - x^, means are over tokens, and x-bar is the mean activation.

=====================================  =========================================================
``explained_variance``                 1 - mean ||e||^2 / (mean ||x||^2 - ||x-bar||^2): SAELens
                                       from 6.45.1 on
``explained_variance_legacy``          mean of 1 - ||e||^2 / ||x - x-bar of the batch||^2: SAELens
                                       before 5.6
``explained_variance_saebench``        1 - mean ||e||^2 / (mean ||x||^2 - m^2), m the mean of x^2
                                       over tokens and dimensions: SAEBench 0.6.0 (its baseline is
                                       not the mean; predicting the mean scores far above zero)
``explained_variance_centred``         1 - sum var(e) / sum var(x), dimension by dimension:
                                       dictionary_learning (blind to a constant error)
``explained_variance_openai``          1 - mean ||e||^2 / mean ||x||^2: Gao et al. 2024
``explained_variance_scalar_mean``     1 - sum e^2 / sum (x - scalar mean of x)^2: Overcomplete
``fvu``                                1 - explained_variance
``mse``                                mean ||e||^2
``cosine``                             mean cosine of x and x^
``l2_ratio``                           mean ||x^|| / ||x||: below 1 means shrinkage
``relative_reconstruction_bias``       mean ||x^||^2 / mean x . x^ (Rajamanoharan et al. 2024)
``l0``                                 mean number of latents with a positive activation
``dead_fraction``                      share of latents that fire on none of `tokens` tokens
``dense_fraction``                     share of latents that fire on more than `dense_above`
``ce_recovered``                       (CE_ablated - CE_sae) / (CE_ablated - CE_clean), ablation
                                       by zeros
``kl_recovered``                       (KL_ablated - KL_sae) / KL_ablated, KL(clean || spliced)
=====================================  =========================================================
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

METRICS_VERSION = 1
_TINY = 1e-12
_EDGES = np.arange(-7.0, 0.01, 0.5)  # log10 of densities


class Reconstruction:
    """How well x^ stands for x; feed batches to `update`, read `results`."""

    def __init__(self, d_in: int, device: str | torch.device = "cpu") -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.tokens = 0
        self._x, self._e = zeros(d_in), zeros(d_in)
        # sums over tokens of: |x|^2, |e|^2, |x^|^2, x.x^, |x^|/|x|, cosine, legacy
        self._sums = zeros(7)

    def update(self, x: Tensor, reconstruction: Tensor) -> None:
        """Add a batch, both (n, d_in)."""
        x, hat = x.double(), reconstruction.double()
        e = x - hat
        self.tokens += len(x)
        self._x += x.sum(0)
        self._e += e.sum(0)
        xx, ee, hh = (t.square().sum(1) for t in (x, e, hat))
        xh = (x * hat).sum(1)
        norms = (xx * hh).sqrt().clamp_min(_TINY)
        spread = (x - x.mean(0)).square().sum(1).clamp_min(_TINY)
        ratio = (hh / xx.clamp_min(_TINY)).sqrt()
        parts = (xx, ee, hh, xh, ratio, xh / norms, 1 - ee / spread)
        self._sums += torch.stack([part.sum() for part in parts])

    def results(self) -> dict[str, float | None]:
        """All metrics of reconstruction; None where nothing is to be explained."""
        xx, ee, hh, xh, ratio, cosine, legacy = (self._sums / self.tokens).tolist()
        mean, mean_e = (self._x / self.tokens).cpu().numpy(), (self._e / self.tokens).cpu().numpy()
        d_in = len(mean)
        variance = xx - float(mean @ mean)
        explained = _explained(ee, variance)
        return {
            "explained_variance": explained,
            "explained_variance_legacy": legacy,
            "explained_variance_saebench": _explained(ee, xx - (xx / d_in) ** 2),
            "explained_variance_centred": _explained(ee - float(mean_e @ mean_e), variance),
            "explained_variance_openai": _explained(ee, xx),
            "explained_variance_scalar_mean": _explained(ee, xx - d_in * float(mean.mean()) ** 2),
            "fvu": None if explained is None else 1 - explained,
            "mse": ee,
            "cosine": cosine,
            "l2_ratio": ratio,
            "relative_reconstruction_bias": hh / xh if xh > _TINY else None,
        }


def _explained(error: float, baseline: float) -> float | None:
    return 1 - error / baseline if baseline > _TINY else None


class Firing:
    """How often and how strongly latents fire."""

    def __init__(self, d_sae: int, device: str | torch.device = "cpu") -> None:
        self.tokens = 0
        self._count = torch.zeros(d_sae, dtype=torch.int64, device=device)
        self._sum = torch.zeros(d_sae, dtype=torch.float64, device=device)

    def update(self, columns: Tensor, values: Tensor, tokens: int) -> None:
        """Add the entries (nnz,) of the codes of `tokens` tokens; zeros do not count."""
        fired = values > 0
        columns, values, size = columns[fired], values[fired].double(), len(self._count)
        self.tokens += tokens
        self._count += torch.bincount(columns, minlength=size)
        self._sum += torch.bincount(columns, weights=values, minlength=size)

    @property
    def counts(self) -> np.ndarray:
        """Tokens on which each latent fires, (d_sae,) int64."""
        return self._count.cpu().numpy()

    @property
    def means(self) -> np.ndarray:
        """Mean of each latent's positive activations, NaN if it never fires, (d_sae,)."""
        counts, sums = self.counts, self._sum.cpu().numpy()
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    @property
    def densities(self) -> np.ndarray:
        """Share of the tokens on which each latent fires, (d_sae,)."""
        return self.counts / self.tokens

    def results(self, dense_above: float) -> dict[str, float]:
        """L0 and the shares of dead and dense latents."""
        return {
            "l0": float(self.counts.sum()) / self.tokens,
            "dead_fraction": float((self.counts == 0).mean()),
            "dense_fraction": float((self.densities > dense_above).mean()),
        }

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


class LossRecovered:
    """Next-token loss with the clean, the zeroed and the reconstructed activations."""

    def __init__(self) -> None:
        self.tokens = 0
        self._ce_clean = self._ce_ablated = self._ce_sae = 0.0
        self._kl_ablated = self._kl_sae = 0.0

    def update(self, clean: Losses, ablated: Losses, sae: Losses) -> None:
        """Add a batch: sums over its tokens."""
        self.tokens += clean.tokens
        self._ce_clean += clean.ce
        self._ce_ablated += ablated.ce
        self._ce_sae += sae.ce
        self._kl_ablated += ablated.kl
        self._kl_sae += sae.kl

    def results(self) -> dict[str, float | None]:
        """Mean losses in nats per token, and the shares recovered."""
        n = self.tokens
        gap = self._ce_ablated - self._ce_clean
        kl = self._kl_ablated
        return {
            "ce_clean": self._ce_clean / n,
            "ce_ablated": self._ce_ablated / n,
            "ce_sae": self._ce_sae / n,
            "kl_ablated": kl / n,
            "kl_sae": self._kl_sae / n,
            "ce_recovered": (self._ce_ablated - self._ce_sae) / gap if abs(gap) > _TINY else None,
            "kl_recovered": (kl - self._kl_sae) / kl if kl > _TINY else None,
        }


class Losses:
    """Sums over the counted tokens of one forward pass, in nats."""

    def __init__(
        self, logits: Tensor, targets: Tensor, counted: Tensor, clean: Tensor | None = None
    ) -> None:
        """`logits` (b, t, v) predict `targets` (b, t) int64 where `counted` (b, t) is true.

        `clean`: log probabilities (tokens, v) of the untouched model at the counted places.
        """
        self.log_probabilities = logits[counted].float().log_softmax(-1)
        picked = self.log_probabilities.gather(1, targets[counted][:, None])
        self.tokens = len(picked)
        self.ce = -float(picked.double().sum())
        self.kl = 0.0
        if clean is not None:
            terms = (clean.exp() * (clean - self.log_probabilities)).sum(1)
            self.kl = float(terms.double().sum())
