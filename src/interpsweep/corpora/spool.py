"""Contexts in the order they were made, on disk, until all are there and can be put in order."""

from __future__ import annotations

from array import array
from pathlib import Path
from types import TracebackType

import numpy as np


class Spool:
    """Append-only store of contexts: tokens in a file, a few integers per context in memory.

    Labels are kept as (flat position, value) pairs, as few tokens of text have one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self.n_tokens = 0
        self.n_documents = 0
        self._lengths = array("q")
        self._documents = array("q")
        self._splits = array("b")
        self._labels: dict[str, tuple[array, array]] = {}

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def add_document(
        self, contexts: list[np.ndarray], labels: list[tuple[str, int, int]], split: int
    ) -> None:
        """Append a document's contexts (int32 ids) for a split, an index of `write.SPLITS`.

        `labels` are (concept, token of it, value).
        """
        for ids in contexts:
            self._file.write(ids.astype("<i4", copy=False).tobytes())
            self._lengths.append(len(ids))
            self._documents.append(self.n_documents)
            self._splits.append(split)
        for concept, position, value in labels:
            positions, values = self._labels.setdefault(concept, (array("q"), array("h")))
            positions.append(self.n_tokens + position)
            values.append(value)
        self.n_tokens += sum(map(len, contexts))
        self.n_documents += 1

    def tokens(self) -> np.ndarray:
        """All tokens so far: int32 (n_tokens,), read from the file as needed."""
        self._file.flush()
        return np.memmap(self._path, np.dtype("<i4"), "r", shape=(self.n_tokens,))

    @property
    def lengths(self) -> np.ndarray:
        """int64 (contexts,): tokens of each."""
        return np.array(self._lengths, np.int64)

    @property
    def documents(self) -> np.ndarray:
        """int64 (contexts,): document of each."""
        return np.array(self._documents, np.int64)

    @property
    def splits(self) -> np.ndarray:
        """int64 (contexts,): split of each, an index of `write.SPLITS`."""
        return np.array(self._splits, np.int64)

    def labels(self, concept: str) -> tuple[np.ndarray, np.ndarray]:
        """Flat positions (ascending, int64) and values (int16) of a concept's labels."""
        positions, values = self._labels.get(concept, (array("q"), array("h")))
        return np.array(positions, np.int64), np.array(values, np.int16)
