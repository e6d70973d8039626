"""Activations that were made elsewhere, read once into our own store. No torch."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from interpsweep.activations.world import write_rows
from interpsweep.arrays import array_in, read
from interpsweep.config.activations import CaptureItem
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.corpora.outside import SOURCE
from interpsweep.corpora.stored import Stored
from interpsweep.errors import UserError


def capture_stored(settings: CaptureItem, corpus: Path, out: Path, ctx: Context) -> dict[str, Any]:
    """Write the activations of the rows of a folder at one site; return the summary."""
    folder = ctx.external(settings.model["content"])
    widths = _stored(folder).widths
    if settings.site not in widths:
        raise UserError(f"{folder}: no activations of {settings.site}; there are {sorted(widths)}")
    work = partial(rows_of, folder, corpus, settings.site, settings.dtype)
    return write_rows(settings, corpus, out, ctx, widths[settings.site], work)


def rows_of(
    folder: Path, corpus: Path, site: str, dtype: str, edges: tuple[int, int]
) -> np.ndarray:
    """Activations (stop - start, d) float32 of rows of a corpus, from runs of the folder's rows.

    Raises UserError for numbers that do not fit into `dtype`.
    """
    stored, wanted = _stored(folder), _sources(corpus)[slice(*edges)]
    breaks = np.flatnonzero(np.diff(wanted) != 1) + 1
    firsts, lasts = wanted[np.append(0, breaks)], wanted[np.append(breaks, len(wanted)) - 1]
    rows = np.concatenate(
        [stored.read(site, int(a), int(b) + 1) for a, b in zip(firsts, lasts, strict=True)]
    )
    if dtype == "float16" and (large := np.abs(rows).max(1) > np.finfo(np.float16).max).any():
        where = stored.where(int(wanted[large.argmax()]))
        raise UserError(
            f"{where}: `{site}` holds {np.abs(rows).max():g}, which does not fit into float16. "
            "Set capture.dtype to bfloat16 or float32"
        )
    return rows


@lru_cache(1)
def _stored(folder: Path) -> Stored:
    return Stored(folder)


@lru_cache(1)
def _sources(corpus: Path) -> np.ndarray:
    """The row of the folder behind each row of a corpus."""
    opened = Corpus.open(corpus)
    return read(array_in(opened.group, SOURCE))[opened.special == 0]
