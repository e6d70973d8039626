"""Stitching: does adding one latent of b to the SAE a lower its error (novel) or raise it?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def summary(cosine: NDArray, delta_mse: NDArray, mse: float) -> dict[str, Any]:
    """Share of novel latents, and how well a small largest cosine predicts them.

    `auc` is the area under the curve of 1 - cosine for "novel", `threshold` the cosine below which
    Youden's index calls a latent novel; both None if all latents are of one kind.
    """
    novel = delta_mse < 0
    auc, threshold = calibrate(cosine, novel)
    return {
        "novel_share": float(np.mean(novel)) if len(novel) else 0.0,
        "auc": auc,
        "threshold": threshold,
        "mse_a": mse,
    }


def calibrate(cosine: NDArray, novel: NDArray[np.bool_]) -> tuple[float | None, float | None]:
    """(AUC, Youden threshold) of "cosine below threshold" as a test for `novel`."""
    yes, no = int(novel.sum()), int((~novel).sum())
    if not yes or not no:
        return None, None
    ranks = rankdata(-cosine)
    auc = (ranks[novel].sum() - yes * (yes + 1) / 2) / (yes * no)
    order = np.argsort(cosine, kind="stable")
    hits = np.cumsum(novel[order]) / yes - np.cumsum(~novel[order]) / no
    best = int(np.argmax(hits))
    upper = cosine[order[min(best + 1, len(order) - 1)]]
    return float(auc), float((cosine[order[best]] + upper) / 2)
