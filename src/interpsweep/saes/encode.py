"""Stage ``encode``: sparse codes of the analysis split, statistics and top contexts of latents.

Beside the codes (see `saes.codes`) it writes

``latents.parquet``
    One row per latent: ``feature``, ``count`` (rows where it is active), ``mean`` and ``max`` of
    its activations there (NaN if there are none).
``contexts.parquet``
    The contexts in which a latent fires most, one row each: ``feature``, ``rank`` (0 = strongest),
    ``row`` (of the activations), ``context``, ``position``, ``activation``, ``token``, ``text``
    (the token and its surroundings) and ``token_start`` (where in `text` the token begins).

All activations are multiplied by the decoder norm.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix

from interpsweep.activations.artifact import Activations
from interpsweep.config.inference import EncodeSettings
from interpsweep.context import Context, Stopped
from interpsweep.corpora.artifact import Corpus
from interpsweep.errors import UserError
from interpsweep.saes.codes import BLOCK_ROWS, CONTEXTS, LATENTS, CodesWriter
from interpsweep.saes.kernels import native
from interpsweep.saes.load import LoadedSAE, encode_parts, load
from interpsweep.spec import Spec
from interpsweep.tables import write_parquet

BLOCKS = "blocks"  # scratch folder: one file per encoded block, so a killed run resumes there


@dataclass(frozen=True)
class Work:
    """What encoding a block needs; small and picklable."""

    sae: Path
    activations: Path
    masks: tuple[Path, ...]
    scratch: Path
    device: str
    threshold: float
    top: int


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Encode the analysis split of ``inputs["activations"]`` with ``inputs["sae"]``."""
    native.use_threads(ctx.threads)
    settings = EncodeSettings(**spec["settings"])
    sae = load(inputs["sae"])
    activations = Activations.open(inputs["activations"], inputs["masks"])
    if activations.d_in != sae.d_in:
        raise UserError(
            f"{inputs['sae']}: the SAE takes {sae.d_in} dimensions, the activations have "
            f"{activations.d_in}; it belongs to another site"
        )
    first, last = analysis_rows(activations, settings)
    scratch = out / BLOCKS
    scratch.mkdir(exist_ok=True)
    work = Work(
        inputs["sae"],
        inputs["activations"],
        tuple(inputs["masks"]),
        scratch,
        ctx.device,
        settings.threshold,
        settings.top_contexts,
    )
    blocks = [(row, min(row + BLOCK_ROWS, last)) for row in range(first, last, BLOCK_ROWS)]
    counts = []
    for entries in ctx.block_map(partial(encode_block, work), blocks, "encoding"):
        counts.append(entries)
        if ctx.stopping and len(counts) < len(blocks):
            raise Stopped("encode: stopped; finished blocks are kept, run the same command")
    gathered = _gather(out, scratch, blocks, counts, sae, activations, settings)
    shutil.rmtree(scratch)
    latents = gathered.activity.table()
    write_parquet(latents, out / LATENTS)
    corpus = Corpus.open(inputs["corpus"])
    write_parquet(_context_table(gathered.best, activations, corpus, settings), out / CONTEXTS)
    return {
        "rows": last - first,
        "l0": sum(counts) / (last - first),
        "silent_fraction": float((latents["count"] == 0).mean()),
    }


def analysis_rows(activations: Activations, settings: EncodeSettings) -> tuple[int, int]:
    """Rows [first, last) that are encoded: leading contexts of the analysis split."""
    first, last = activations.splits["analysis"]
    if first == last:
        raise UserError(f"{activations.path}: the analysis split is empty; give the corpus one")
    if settings.contexts is not None:
        contexts = np.asarray(activations.context(first, last))
        last = first + int(np.searchsorted(contexts, contexts[0] + settings.contexts))
    return first, last


# ---------------------------------------------------------------------- one block


@lru_cache(maxsize=4)
def _load_once(path: Path, device: str) -> LoadedSAE:
    return load(path, device)


def encode_block(work: Work, block: tuple[int, int]) -> int:
    """Encode rows [start, stop) of the activations into a scratch file; return its entries."""
    start, stop = block
    file = work.scratch / f"{start}.safetensors"
    if file.exists():
        try:
            return len(load_file(file)["values"])
        except SafetensorError:
            file.unlink()
    activations = Activations(work.activations, work.masks)
    codes = encode_rows(
        _load_once(work.sae, work.device), activations.read(start, stop), work.threshold
    )
    rows = np.repeat(np.arange(start, stop), np.diff(codes.indptr))
    contexts = np.asarray(activations.context(start, stop))[rows - start]
    best = strongest(
        Best(codes.indices.astype(np.int64), contexts.astype(np.int64), rows, codes.data), work.top
    )
    partial_file = file.with_suffix(".partial")
    arrays = {"indptr": codes.indptr.astype(np.int64), "indices": codes.indices}
    arrays |= {"values": codes.data, **{f"best.{k}": v for k, v in vars(best).items()}}
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, partial_file)
    os.replace(partial_file, file)
    return codes.nnz


def encode_rows(sae: LoadedSAE, rows: np.ndarray, threshold: float = 0.0) -> csr_matrix:
    """Folded codes (n, d_sae) float32 of activations (n, d_in), values above `threshold` only."""
    device = sae.b_dec.device
    parts, lengths = [], []
    with torch.no_grad():
        for _, codes in encode_parts(sae, torch.from_numpy(rows).to(device), folded=True):
            kept = codes.values > threshold
            parts.append((codes.columns[kept].cpu().numpy(), codes.values[kept].cpu().numpy()))
            n = len(codes.offsets) - 1
            lengths.append(torch.bincount(codes.rows[kept], minlength=n).cpu().numpy())
    columns = np.concatenate([columns for columns, _ in parts]).astype(np.int32)
    values = np.concatenate([values for _, values in parts])
    if not np.isfinite(values).all():
        raise UserError("encoding gave values that are not finite; check the SAE's activations")
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return csr_matrix((values, columns, indptr), shape=(len(rows), sae.d_sae))


# ---------------------------------------------------------------------- all blocks


@dataclass
class Best:
    """Entries of codes, as parallel arrays; kept: the strongest of each context of a latent."""

    feature: np.ndarray
    context: np.ndarray
    row: np.ndarray
    value: np.ndarray

    def take(self, index: np.ndarray) -> Best:
        """These entries."""
        return Best(*(array[index] for array in vars(self).values()))

    @classmethod
    def join(cls, several: list[Best]) -> Best:
        """All entries of several."""
        return cls(
            *(
                np.concatenate(arrays)
                for arrays in zip(*(vars(b).values() for b in several), strict=True)
            )
        )


def strongest(entries: Best, top: int) -> Best:
    """One entry, the strongest, per latent and context; of those the `top` per latent, in order.

    Ties go to the earlier row, so the result does not depend on how entries were grouped.
    """
    if not len(entries.feature):
        return entries
    # one key instead of a lexsort of two: rows are distinct within a latent
    entries = entries.take(np.argsort(entries.feature * (entries.row.max() + 1) + entries.row))
    new = np.ones(len(entries.feature), bool)
    new[1:] = (np.diff(entries.feature) != 0) | (np.diff(entries.context) != 0)
    begins, run = np.flatnonzero(new), np.cumsum(new) - 1
    is_largest = entries.value == np.maximum.reduceat(entries.value, begins)[run]
    places = np.flatnonzero(is_largest)
    entries = entries.take(places[np.unique(run[places], return_index=True)[1]])
    entries = entries.take(np.lexsort((entries.row, -entries.value, entries.feature)))
    return entries.take(rank_within(entries.feature) < top)


def rank_within(groups: np.ndarray) -> np.ndarray:
    """Position of each entry within its run of equal (sorted) groups."""
    begins = np.flatnonzero(np.r_[True, np.diff(groups) != 0])
    lengths = np.diff(np.r_[begins, len(groups)])
    return np.arange(len(groups)) - np.repeat(begins, lengths) if len(groups) else groups


class Activity:
    """Count, sum and maximum of the activations of `d_sae` latents, block by block."""

    def __init__(self, d_sae: int) -> None:
        self.count = np.zeros(d_sae, np.int64)
        self.total = np.zeros(d_sae)
        self.largest = np.zeros(d_sae, np.float32)

    def add(self, indices: np.ndarray, values: np.ndarray) -> None:
        """Take in the entries of a block of rows: latents (e,) and what they reach (e,)."""
        d_sae = len(self.count)
        self.count += np.bincount(indices, minlength=d_sae)
        self.total += np.bincount(indices, values, d_sae)
        np.maximum.at(self.largest, indices, values)

    def table(self) -> pd.DataFrame:
        """`latents.parquet`."""
        active = self.count > 0
        mean = np.where(active, self.total / np.maximum(self.count, 1), np.nan)
        return pd.DataFrame(
            {
                "feature": np.arange(len(self.count), dtype=np.int32),
                "count": self.count,
                "mean": mean.astype(np.float32),
                "max": np.where(active, self.largest, np.nan).astype(np.float32),
            }
        )


@dataclass
class Gathered:
    """What all blocks together say about the latents."""

    activity: Activity
    best: Best


def _gather(
    out: Path,
    scratch: Path,
    blocks: list[tuple[int, int]],
    counts: list[int],
    sae: LoadedSAE,
    activations: Activations,
    settings: EncodeSettings,
) -> Gathered:
    """Write the codes in order and reduce the blocks' statistics."""
    rows, top = (blocks[0][0], blocks[-1][1]), settings.top_contexts
    writer = CodesWriter(out, rows, sae.d_sae, counts, sae.fixed or 0)
    activity, waiting = Activity(sae.d_sae), []
    for start, stop in blocks:
        held = load_file(scratch / f"{start}.safetensors")
        indices, values = held["indices"], held["values"]
        shape = (stop - start, sae.d_sae)
        block = csr_matrix((values, indices, held["indptr"]), shape=shape)
        writer.append(block, activations.token(start, stop))
        activity.add(indices, values)
        waiting.append(
            Best(*(held[f"best.{name}"] for name in ("feature", "context", "row", "value")))
        )
        if sum(len(b.feature) for b in waiting[1:]) > 2 * top * sae.d_sae:
            waiting = [strongest(Best.join(waiting), top)]
    writer.close()
    return Gathered(activity, strongest(Best.join(waiting), top))


# ---------------------------------------------------------------------- tables


def _context_table(
    best: Best, activations: Activations, corpus: Corpus, settings: EncodeSettings
) -> pd.DataFrame:
    rows, inverse = np.unique(best.row, return_inverse=True)
    first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    flat = np.asarray(activations.token(first, last))[rows - first]
    position = np.asarray(activations.position(first, last))[rows - first]
    windows = _windows(corpus, flat, settings.window_before, settings.window_after)
    shown = pd.DataFrame(windows, columns=["token", "text", "token_start"])
    table = pd.DataFrame(
        {
            "feature": best.feature.astype(np.int32),
            "rank": rank_within(best.feature).astype(np.int32),
            "row": best.row,
            "context": best.context.astype(np.int32),
            "position": position[inverse].astype(np.int32),
            "activation": best.value,
        }
    )
    shown = shown.astype({"token": "str", "text": "str", "token_start": "int32"})
    return pd.concat([table, shown.iloc[inverse].reset_index(drop=True)], axis=1)


def _windows(
    corpus: Corpus, flat: np.ndarray, before: int, after: int
) -> list[tuple[str, str, int]]:
    """(token, text around it within its context, where in the text it begins) of flat tokens."""
    if not len(flat):
        return []
    contexts = np.searchsorted(corpus.offsets, flat, side="right") - 1
    starts = np.maximum(corpus.offsets[contexts], flat - before)
    stops = np.minimum(corpus.offsets[contexts + 1], flat + 1 + after)
    first, last = int(starts.min()), int(stops.max())
    ids = np.asarray(corpus.flat(first, last))
    # marks such as BOS are not shown
    words = np.array([*corpus.vocabulary, ""], dtype=object)
    ids = np.where(np.asarray(corpus.special[first:last]) != 0, len(words) - 1, ids)
    found = []
    for start, here, stop in zip(starts - first, flat - first, stops - first, strict=True):
        lead = "".join(words[ids[start:here]])
        token = words[ids[here]]
        found.append((token, lead + token + "".join(words[ids[here + 1 : stop]]), len(lead)))
    return found
