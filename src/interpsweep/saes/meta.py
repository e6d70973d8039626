"""Stage ``meta``: an SAE trained on the decoder rows of an SAE: parents from weights alone.

Latents of a wide SAE point along sums of a few directions that they share; a small BatchTopK SAE
with the unit decoder rows as data finds them (meta-SAEs: Bussmann, Pearce, Leask et al. 2024; Leask
et al. 2025, "Sparse autoencoders do not find canonical units of analysis", section 4). The folder
is an SAELens directory like any other, and

``composition.parquet``
    The meta-latents of every latent, strongest first: ``feature``, ``rank``, ``meta``,
    ``activation`` (on unit rows, times the decoder norm) and ``cosine`` with the decoder row.
``summary.json``
    ``latents``, ``metas``, ``explained_variance`` of the decoder rows and the same of the null
    (``explained_variance_null``), ``l0``, ``unused`` (share of meta-latents in no row).

The null is a meta-SAE of the same settings trained on rows whose principal components were permuted
among rows, each by itself: spectrum and marginals stay, what a row has in common with others goes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from interpsweep.config.base import own_fields
from interpsweep.config.meta import MetaSettings
from interpsweep.config.saes import TrainSettings
from interpsweep.context import Context, Stopped
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.encode import encode_rows, rank_within
from interpsweep.saes.kernels import native
from interpsweep.saes.load import load
from interpsweep.saes.trainer import Side, Trainer
from interpsweep.spec import Spec
from interpsweep.store.layout import SCRATCH
from interpsweep.tables import write_json, write_parquet

COMPOSITION = "composition.parquet"
Rows = NDArray[np.float32]


class Composed(NamedTuple):
    """What a meta-SAE says of the rows it was trained on."""

    codes: csr_matrix  # (n, d_meta), folded
    explained_variance: float


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Train a meta-SAE on ``inputs["sae"]`` and one on its null."""
    native.use_threads(ctx.threads)
    settings = own_fields(MetaSettings, spec["settings"])
    rows = Dictionary.open(inputs["sae"]).directions
    source = str(spec["inputs"]["sae"])
    made = compose(rows, settings, out, source, ctx)
    null = out / SCRATCH / "null"
    null.mkdir(parents=True, exist_ok=True)
    shuffled = permuted_components(rows, np.random.default_rng(settings.seed))
    unrelated = compose(shuffled, settings, null, source, ctx)
    table = composition(made.codes, rows, Dictionary.open(out))
    write_parquet(table, out / COMPOSITION)
    used = np.bincount(table["meta"], minlength=made.codes.shape[1]) > 0
    summary = {
        "latents": len(rows),
        "metas": made.codes.shape[1],
        "explained_variance": made.explained_variance,
        "explained_variance_null": unrelated.explained_variance,
        "l0": made.codes.nnz / len(rows),
        "unused": float(1 - used.mean()),
    }
    write_json(summary, out / "summary.json")
    return summary


def compose(rows: Rows, settings: MetaSettings, out: Path, source: str, ctx: Context) -> Composed:
    """Train a meta-SAE on unit `rows` (n, d), write it into `out`, and encode the rows with it.

    `source` is what its first directions are drawn by, beside the seed. Raises Stopped.
    """
    n, d = rows.shape
    wanted = train_settings(settings, n)
    scale = math.sqrt(d)
    centre, variance = rows.mean(axis=0), float(rows.var(axis=0, dtype=np.float64).sum())
    side = Side(scale, torch.from_numpy(centre * np.float32(scale)), variance * scale**2, source)
    trainer = Trainer(wanted, side, device=ctx.device)
    with ctx.bar(wanted.steps, "meta-SAE", unit="steps") as bar:
        scaled = torch.from_numpy(rows).to(ctx.device) * scale
        for batch in shuffled(n, wanted.batch_size, wanted.steps, settings.seed):
            if ctx.stopping:
                raise Stopped("meta: stopped; run the same command to train it again")
            trainer.step(scaled[torch.from_numpy(batch).to(ctx.device)])
            bar.advance()
    trainer.write(out, {"trained_on": "decoder rows", "source": source})
    sae = load(out, ctx.device)
    codes = encode_rows(sae, rows)
    units = Dictionary.open(out).directions
    error = rows - (codes @ units + sae.b_dec.cpu().numpy())
    explained = 1 - float(np.square(error, dtype=np.float64).sum()) / max(n * variance, 1e-300)
    return Composed(codes, explained)


def train_settings(settings: MetaSettings, latents: int) -> TrainSettings:
    """How the meta-SAE of so many latents is trained; at least k + 1 meta-latents."""
    batch = min(settings.batch_size, latents)  # a row twice in a batch says nothing new
    return TrainSettings(
        architecture="batchtopk",
        d_sae=max(settings.k + 1, round(settings.share * latents)),
        sparsity=settings.k,
        seed=settings.seed,
        batch_size=batch,
        tokens=settings.steps * batch,
    )


def shuffled(n: int, batch: int, steps: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Rows (batch,) of each step: row after row of permutations of all `n`, one for each epoch."""
    epoch, left = 0, np.empty(0, np.int64)
    for _ in range(steps):
        parts = [left]
        while sum(map(len, parts)) < batch:
            parts.append(np.random.default_rng([seed, epoch]).permutation(n))
            epoch += 1
        drawn = np.concatenate(parts)
        left = drawn[batch:]
        yield drawn[:batch]


def permuted_components(rows: Rows, rng: np.random.Generator) -> Rows:
    """Unit rows whose principal components were permuted among rows, each by itself.

    Permuted components are correlated by chance, which would widen the spectrum; the closest
    uncorrelated ones are taken (Löwdin's symmetric orthogonalisation).
    """
    centre = rows.mean(axis=0)
    left, size, right = np.linalg.svd((rows - centre).astype(np.float64), full_matrices=False)
    real = size > 1e-9 * size[0]  # fewer rows than dimensions
    left = rng.permuted(left[:, real], axis=0)
    values, vectors = np.linalg.eigh(left.T @ left)
    left = left @ (vectors / np.sqrt(np.maximum(values, 1e-12))) @ vectors.T
    made = (left * size[real]) @ right[real] + centre
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def composition(codes: csr_matrix, rows: Rows, meta: Dictionary) -> pd.DataFrame:
    """`composition.parquet`."""
    entries = codes.tocoo()
    order = np.lexsort((entries.col, -entries.data, entries.row))
    feature, one = entries.row[order].astype(np.int64), entries.col[order].astype(np.int64)
    cosine = np.einsum("nd,nd->n", rows[feature], meta.directions[one])
    return pd.DataFrame(
        {
            "feature": feature.astype(np.int32),
            "rank": rank_within(feature).astype(np.int32),
            "meta": one.astype(np.int32),
            "activation": entries.data[order].astype(np.float32),
            "cosine": cosine.astype(np.float32),
        }
    )
