"""Activations of a world: planted magnitudes times planted directions, plus noise. No torch.

A site of layer 0, or outside the blocks, sees the world as planted; every further layer sees it
under a random rotation of its own: the same codes on unrelated directions, a control for matches
between sites.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from interpsweep.activations.artifact import ROWS, SPLITS
from interpsweep.activations.rows import RowPlan, summary
from interpsweep.activations.writer import ChunkWriter
from interpsweep.config.activations import CaptureItem
from interpsweep.config.sites import site_layer
from interpsweep.context import Context, Stopped
from interpsweep.corpora.artifact import Corpus
from interpsweep.corpora.world import Planted
from interpsweep.tables import write_json
from interpsweep.worlds.planted import BLOCK, rotation


def capture_world(settings: CaptureItem, corpus: Path, out: Path, ctx: Context) -> dict[str, Any]:
    """Write the activations of a world's rows at one site; return the summary."""
    work = partial(activations_of, corpus, site_layer(settings.site) or 0)
    return write_rows(settings, corpus, out, ctx, Planted(corpus).settings.d, work)


def write_rows(
    settings: CaptureItem,
    corpus: Path,
    out: Path,
    ctx: Context,
    d: int,
    work: Callable[[tuple[int, int]], np.ndarray],
) -> dict[str, Any]:
    """Write the rows of a corpus, a block at a time; return the summary.

    `work` gives the activations (stop - start, d) float32 of rows [start, stop).
    """
    plan = RowPlan(Corpus.open(corpus), settings.window_tokens)
    writer = ChunkWriter(out, plan.rows, d, settings.chunk_rows, settings.dtype)
    edges = [(i, min(i + BLOCK, plan.rows)) for i in range(0, plan.rows, BLOCK)]
    todo = [edge for edge in edges if writer.needs(*edge)]
    for (start, stop), rows in zip(todo, ctx.block_map(work, todo, "capturing"), strict=True):
        writer.put(np.arange(start, stop), _stored(rows, settings.dtype))
        if ctx.stopping:
            raise Stopped("capture: whole chunks are kept, run the same command")
    writer.finish()
    plan.write(out / ROWS)
    write_json(plan.splits(), out / SPLITS)
    return summary(plan, d, causal=False)


def activations_of(corpus: Path, layer: int, edges: tuple[int, int]) -> np.ndarray:
    """Activations (stop - start, d) float32 of the rows of one block as a layer sees them."""
    truth, (start, stop) = Planted(corpus), edges
    settings = truth.settings
    rows = np.asarray(truth.codes.read(start, stop) @ truth.directions, np.float32)
    turned = rotation(settings.seed, layer, settings.d)
    if turned is not None:
        rows = rows @ turned
    if settings.noise:
        rng = np.random.default_rng([settings.seed, 4, layer, start // BLOCK])
        noise = rng.standard_normal((BLOCK, settings.d), dtype=np.float32)
        rows += np.float32(settings.noise) * noise[: stop - start]
    if settings.outliers:
        drawn = np.random.default_rng([settings.seed, 5, start // BLOCK]).random(BLOCK)
        rows[drawn[: stop - start] < settings.outliers.share, 0] += settings.outliers.norm
    return rows


def _stored(rows: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers as they go to disk; bfloat16 as its bits, rounded to nearest even."""
    if dtype != "bfloat16":
        return rows.astype(dtype)
    bits = rows.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
