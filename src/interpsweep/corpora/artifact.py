"""Reader of a finished corpus. Numpy and Zarr only: whoever reads tokens needs no tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from interpsweep.arrays import array_in, read
from interpsweep.tables import read_json


@dataclass(frozen=True)
class Corpus:
    """C contexts of T tokens in all, grouped train | analysis | eval; see `corpora.write`."""

    path: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> Corpus:
        """Open the corpus in folder `path`."""
        return cls(Path(path), read_json(Path(path) / "corpus.json"))

    @cached_property
    def group(self) -> zarr.Group:
        """The Zarr group, for reading in pieces."""
        return zarr.open_group(self.path / "tokens.zarr", mode="r")

    @cached_property
    def _tokens(self) -> zarr.Array:
        return array_in(self.group, "tokens")

    @cached_property
    def _special(self) -> zarr.Array:
        return array_in(self.group, "special")

    @cached_property
    def offsets(self) -> np.ndarray:
        """int64 (C + 1,): context c holds the flat tokens offsets[c] .. offsets[c + 1]."""
        return read(array_in(self.group, "offsets"))

    @cached_property
    def special(self) -> np.ndarray:
        """uint8 (T,): 1 at marks (BOS, CLS, SEP), which are never captured."""
        return read(self._special)

    @cached_property
    def document(self) -> np.ndarray:
        """int32 (C,): the document of each context."""
        return read(array_in(self.group, "document"))

    @property
    def n_contexts(self) -> int:
        """C."""
        return len(self.offsets) - 1

    @property
    def n_tokens(self) -> int:
        """T."""
        return int(self.offsets[-1])

    @property
    def splits(self) -> dict[str, tuple[int, int]]:
        """Contexts first .. last + 1 of train, analysis and eval."""
        return {name: (start, stop) for name, (start, stop) in self.meta["splits"].items()}

    @property
    def concepts(self) -> dict[str, dict[str, Any]]:
        """Labelled concepts: shape, values in order, parent, parent_of."""
        return self.meta["concepts"]

    @cached_property
    def vocabulary(self) -> list[str]:
        """Readable string of every token id; a new word starts with a space."""
        return read_json(self.path / "vocabulary.json")

    def tokens(self, context: int) -> np.ndarray:
        """int32 ids of one context."""
        start, stop = self.offsets[context], self.offsets[context + 1]
        return read(self._tokens, int(start), int(stop))

    def flat(self, start: int, stop: int) -> np.ndarray:
        """int32 ids of the flat tokens start .. stop."""
        return read(self._tokens, start, stop)

    def label(self, concept: str) -> np.ndarray:
        """int16 (T,): index of the value at each flat token, -1 = none."""
        return read(array_in(self.group, f"labels/{concept}"))

    def text(self, ids: np.ndarray) -> str:
        """Readable text of some tokens."""
        return "".join(self.vocabulary[i] for i in ids).strip()

    def window(self, flat_index: int, before: int, after: int) -> tuple[str, str, str]:
        """Text before, at and after a flat token, within its context, marks left out."""
        context = int(np.searchsorted(self.offsets, flat_index, side="right")) - 1
        start, stop = int(self.offsets[context]), int(self.offsets[context + 1])
        first, last = max(start, flat_index - before), min(stop, flat_index + 1 + after)
        ids = read(self._tokens, first, last)
        shown = read(self._special, first, last) == 0
        words = [self.vocabulary[i] if ok else "" for i, ok in zip(ids, shown, strict=True)]
        here = flat_index - first
        return "".join(words[:here]), words[here], "".join(words[here + 1 :])
