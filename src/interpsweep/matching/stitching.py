"""Stitching: does adding one latent of b to the SAE a lower its error (novel) or raise it?

And the way from a to b in steps, after Leask et al. (2025): novel latents are inserted first, then
groups of similar latents change places, until every latent of a is out and every one of b in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse as sp
from scipy.stats import rankdata

from interpsweep.matching.sides import Side

STEPS = 12  # of inserting, and of swapping
CURVE_ROWS = 1 << 17  # leading rows that the curve is measured on


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


@dataclass(frozen=True)
class Plan:
    """When every latent moves: the step at which one of b goes in and one of a comes out."""

    insert: NDArray[np.int64]  # (n_b,) step, from 1
    remove: NDArray[np.int64]  # (n_a,)
    inserting: int  # steps that only insert; the others swap
    steps: int


def plan(a: Side, b: Side, features: pd.DataFrame) -> Plan:
    """Latents of b that lower the error alone go in first, those that lower it most ahead.

    Then every latent of a changes places with the latents of b whose nearest it is, the groups
    with the largest mean cosine first. Latents are cut into steps of about as many.
    """
    wide = features[features["side"] == "b"].sort_values("feature")
    delta = wide["delta_mse"].to_numpy(np.float64)
    novel = np.flatnonzero(delta < 0)
    novel = novel[np.argsort(delta[novel], kind="stable")]
    inserting = min(STEPS, len(novel))
    insert = np.zeros(len(b.count), np.int64)
    insert[novel] = 1 + np.arange(len(novel)) * inserting // max(1, len(novel))
    rest = np.flatnonzero(insert == 0)
    # a latent that never fires has no nearest one; when it moves changes nothing
    group = np.maximum(wide["nearest"].to_numpy(np.int64)[rest], 0)
    members = np.bincount(group, minlength=len(a.count))
    cosine = np.bincount(group, wide["cosine"].to_numpy()[rest], len(a.count))
    order = np.argsort(-cosine / np.maximum(members, 1), kind="stable")
    before = np.cumsum(1 + members[order]) - 1 - members[order]
    swapping = min(STEPS, len(a.count))
    remove = np.empty(len(a.count), np.int64)
    remove[order] = inserting + 1 + before * swapping // int((1 + members).sum())
    insert[rest] = remove[group]
    return Plan(insert, remove, inserting, inserting + swapping)


def curve(a: Side, b: Side, activations: Any, first_row: int, plan: Plan, ctx: Any) -> pd.DataFrame:
    """`stitching.parquet`: mean squared error after every step, from a (step 0) to b (last).

    The bias goes from a's to b's in equal parts over the swaps; `mse_centred` is the error with
    the best bias of each step instead.
    """
    last = min(a.codes.n_rows, CURVE_ROWS)
    blocks = [(s, min(e, last)) for s, e in a.codes.chunks() if s < last]
    work = partial(_errors, a=a, b=b, activations=activations, first_row=first_row, plan=plan)
    parts = list(ctx.block_map(work, blocks, "stitching"))
    error, active, residual = (sum(part) / last for part in zip(*parts, strict=True))
    step = np.arange(plan.steps + 1)
    return pd.DataFrame(
        {
            "step": step.astype(np.int32),
            "action": np.where(step == 0, "", np.where(step <= plan.inserting, "insert", "swap")),
            "inserted": np.searchsorted(np.sort(plan.insert), step, side="right").astype(np.int32),
            "removed": np.searchsorted(np.sort(plan.remove), step, side="right").astype(np.int32),
            "l0": active,
            "mse": error,
            "mse_centred": error - np.sum(residual**2, axis=1),
        }
    )


def _errors(
    block: tuple[int, int], a: Side, b: Side, activations: Any, first_row: int, plan: Plan
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of the rows of a block after every step: squared error and active latents, (steps + 1,),
    and the sum of residuals, (steps + 1, d)."""
    start, stop = block
    codes_a, codes_b = (sp.csr_matrix(s.codes.codes.read(start, stop)).tocsc() for s in (a, b))
    x = activations.read(first_row + start, first_row + stop)
    residual = x - (np.asarray(codes_a @ a.decoder) + a.bias)
    error, active = np.empty(plan.steps + 1), np.full(plan.steps + 1, codes_a.nnz, np.float64)
    summed = np.empty((plan.steps + 1, x.shape[1]))
    swaps = max(1, plan.steps - plan.inserting)
    for step in range(plan.steps + 1):
        if step:
            goes_in = codes_b[:, plan.insert == step]
            comes_out = codes_a[:, plan.remove == step]
            residual -= goes_in @ b.decoder[plan.insert == step]
            residual += comes_out @ a.decoder[plan.remove == step]
            active[step] = active[step - 1] + goes_in.nnz - comes_out.nnz
        if step > plan.inserting:
            residual -= (b.bias - a.bias) / np.float32(swaps)
        error[step] = np.sum(np.square(residual, dtype=np.float64))
        summed[step] = residual.sum(axis=0, dtype=np.float64)
    return error, active, summed
