"""Which token becomes which row: the rows of a corpus and the windows they are captured in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr

from interpsweep.corpora.artifact import Corpus
from interpsweep.models.batches import windows

_WRITE_ROWS = 1 << 20


class Window(NamedTuple):
    """A stretch of the corpus that is in memory at once."""

    contexts: tuple[int, int]
    rows: tuple[int, int]


class RowPlan:
    """Rows of a corpus: its tokens that are not special, in order.

    `row_start` (contexts + 1,) int64 is the row at which each context begins.
    """

    def __init__(self, corpus: Corpus, window_tokens: int) -> None:
        self.corpus = corpus
        self.offsets = np.asarray(corpus.offsets[:], np.int64)
        stretches = windows(self.offsets, window_tokens)
        kept = [np.diff(self._kept_before(*stretch)) for stretch in stretches]
        self.row_start = np.cumsum(np.concatenate([np.zeros(1, np.int64), *kept]))
        self.windows = [
            Window((c0, c1), (int(self.row_start[c0]), int(self.row_start[c1])))
            for c0, c1 in stretches
        ]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.row_start[-1])

    def splits(self) -> dict[str, list[int]]:
        """Rows [first, last) of each split of the corpus."""
        return {
            name: [int(self.row_start[c0]), int(self.row_start[c1])]
            for name, (c0, c1) in self.corpus.splits.items()
        }

    def special(self, c0: int, c1: int) -> np.ndarray:
        """Flags (tokens,) of the tokens of contexts [c0, c1): true for BOS and the like."""
        return np.asarray(self.corpus.special[self.offsets[c0] : self.offsets[c1]]).astype(bool)

    def row_of_token(self, c0: int, c1: int) -> np.ndarray:
        """Row (tokens,) int64 of each token of contexts [c0, c1); meaningless where special."""
        return self.row_start[c0] + np.cumsum(~self.special(c0, c1)) - 1

    def where(self, row: int) -> tuple[int, int]:
        """Context and position of a row, for messages."""
        context = int(np.searchsorted(self.row_start, row, "right")) - 1
        kept = np.flatnonzero(~self.special(context, context + 1))
        return context, int(kept[row - self.row_start[context]])

    def write(self, path: Path) -> None:
        """Write the arrays token, context and position of all rows."""
        group = zarr.open_group(path, mode="w", zarr_format=3)
        shape, chunks = (self.rows,), (min(_WRITE_ROWS, self.rows),)
        arrays = [
            group.create_array(name, shape=shape, chunks=chunks, dtype=dtype)
            for name, dtype in (("token", "int64"), ("context", "int32"), ("position", "int32"))
        ]
        waiting: list[np.ndarray] = []
        first = 0
        for i, window in enumerate(self.windows):
            waiting.append(self._sources(*window.contexts))
            held = sum(part.shape[1] for part in waiting)
            if held >= _WRITE_ROWS or i == len(self.windows) - 1:
                columns = np.concatenate(waiting, axis=1)
                whole = held if i == len(self.windows) - 1 else held - held % _WRITE_ROWS
                for array, column in zip(arrays, columns, strict=True):
                    array[first : first + whole] = column[:whole].astype(array.dtype)
                waiting, first = [columns[:, whole:]], first + whole

    def _sources(self, c0: int, c1: int) -> np.ndarray:
        """Token index, context and position (3, rows) of the rows of contexts [c0, c1)."""
        kept = np.flatnonzero(~self.special(c0, c1)) + self.offsets[c0]
        context = np.repeat(np.arange(c0, c1), np.diff(self.row_start[c0 : c1 + 1]))
        return np.stack([kept, context, kept - self.offsets[context]])

    def _kept_before(self, c0: int, c1: int) -> np.ndarray:
        """Rows before each edge of contexts c0..c1 (c1 - c0 + 1,), counted from c0."""
        before = np.concatenate([[0], np.cumsum(~self.special(c0, c1))])
        return before[self.offsets[c0 : c1 + 1] - self.offsets[c0]]


def summary(plan: RowPlan, d_in: int, causal: bool) -> dict[str, Any]:
    """What the manifest of captured activations says; `causal`: the model predicts what follows."""
    first, last = plan.splits()["train"]
    return {"rows": plan.rows, "d_in": d_in, "train_rows": last - first, "causal": causal}
