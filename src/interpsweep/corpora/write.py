"""Writer of the corpus artifact: documents permuted, splits assigned, tokens and labels in Zarr.

Layout: group `tokens.zarr` with flat arrays `tokens` int32 (T,), `special` uint8 (T,), `offsets`
int64 (C + 1,), `document` int32 (C,) and `labels/<concept>` int16 (T,); `corpus.json`;
`vocabulary.json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from interpsweep.config.corpora import GeneratedCorpus
from interpsweep.corpora.spool import Spool
from interpsweep.errors import UserError
from interpsweep.tables import write_json

SPLITS = ("train", "analysis", "eval")
CHUNK = 1 << 20  # tokens per Zarr chunk, and per piece held in memory while writing


class TokenStore:
    """The Zarr group of one corpus while it is being written."""

    def __init__(self, out: Path, n_tokens: int, concepts: dict[str, Any]) -> None:
        self.group = zarr.open_group(out / "tokens.zarr", mode="w", zarr_format=3)
        self._arrays: dict[str, zarr.Array] = {}
        self._create("tokens", n_tokens, "int32", 0)
        self._create("special", n_tokens, "uint8", 0)
        for concept in sorted(concepts):
            self._create(f"labels/{concept}", n_tokens, "int16", -1)

    def _create(self, name: str, size: int, dtype: str, fill: int) -> None:
        self._arrays[name] = self.group.create_array(
            name,
            shape=(size,),
            chunks=(min(CHUNK, max(size, 1)),),
            dtype=dtype,
            fill_value=fill,
            compressors=[ZstdCodec(level=3)],
        )

    def put(self, name: str, start: int, values: np.ndarray) -> None:
        """Write `values` at flat position `start`."""
        self._arrays[name][start : start + len(values)] = values

    def finish(self, offsets: np.ndarray, document: np.ndarray, **more: np.ndarray) -> None:
        """Write the arrays that have one entry per context, and `more` that is whole."""
        for name, values in {"offsets": offsets, "document": document, **more}.items():
            self._create(name, len(values), str(values.dtype), 0)
            self.put(name, 0, values)


def write_meta(
    out: Path,
    splits: dict[str, list[int]],
    concepts: dict[str, Any],
    context_length: int,
    vocabulary: list[str],
    truth: dict[str, Any] | None = None,
) -> None:
    """Write `corpus.json` and `vocabulary.json`."""
    meta = {
        "splits": splits,
        "concepts": concepts,
        "context_length": context_length,
        "vocabulary": "vocabulary.json",
        "truth": truth,
    }
    write_json(meta, out / "corpus.json")
    write_json(vocabulary, out / "vocabulary.json")


def independent_contexts(settings: GeneratedCorpus) -> tuple[int, dict[str, list[int]]]:
    """Number and splits of contexts that are independent draws: their order needs no shuffling."""
    length, n = settings.context_length, settings.n_tokens // settings.context_length
    if n < 3:
        raise UserError(
            f"corpus: {settings.n_tokens} tokens make {n} contexts of {length}; a corpus needs at "
            "least three, one for each split. Raise corpus.n_tokens"
        )
    n_eval = max(1, round(n * settings.eval_share))
    n_analysis = min(max(1, round(n * settings.analysis_share)), n - n_eval - 1)
    sizes = [n - n_analysis - n_eval, n_analysis, n_eval]
    return n, split_contexts(np.repeat([0, 1, 2], sizes))


def split_contexts(split_of_context: np.ndarray) -> dict[str, list[int]]:
    """{"train": [first, last + 1], ...} of contexts that are grouped by split."""
    bounds = np.searchsorted(split_of_context, [0, 1, 2, 3])
    return {name: [int(bounds[i]), int(bounds[i + 1])] for i, name in enumerate(SPLITS)}


def order_spool(spool: Spool, seed: int) -> tuple[np.ndarray, dict[str, list[int]]]:
    """The final order of the spool's contexts, by split, and within it documents permuted."""
    rank = np.random.default_rng([seed, 4]).permutation(spool.n_documents)
    splits = spool.splits
    order = np.lexsort((rank[spool.documents], splits))  # stable: a document stays in order
    return order, split_contexts(splits[order])


def write_spool(
    spool: Spool,
    order: np.ndarray,
    out: Path,
    concepts: dict[str, Any],
    is_special: np.ndarray,
) -> Iterator[int]:
    """Write the spool's contexts in `order`; yields the number of tokens after each piece.

    `is_special`: bool (vocabulary,), the tokens that are special wherever they stand.
    """
    lengths = spool.lengths
    starts = np.cumsum(lengths) - lengths
    offsets = np.concatenate([[0], np.cumsum(lengths[order])])
    store = TokenStore(out, spool.n_tokens, concepts)
    flat = spool.tokens()
    labels = {name: _moved(spool.labels(name), starts, order, offsets) for name in concepts}
    for first, last in _pieces(offsets):
        begin, end = int(offsets[first]), int(offsets[last])
        sizes = lengths[order[first:last]]
        within = np.arange(end - begin) - np.repeat(offsets[first:last] - begin, sizes)
        tokens = flat[np.repeat(starts[order[first:last]], sizes) + within]
        store.put("tokens", begin, tokens)
        store.put("special", begin, is_special[tokens].astype(np.uint8))
        for name, (positions, values) in labels.items():
            low, high = np.searchsorted(positions, [begin, end])
            piece = np.full(end - begin, -1, np.int16)
            piece[positions[low:high] - begin] = values[low:high]
            store.put(f"labels/{name}", begin, piece)
        yield end - begin
    store.finish(offsets.astype(np.int64), spool.documents[order].astype(np.int32))


def _pieces(offsets: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of contexts of about CHUNK tokens each."""
    first, n = 0, len(offsets) - 1
    while first < n:
        last = int(np.searchsorted(offsets, offsets[first] + CHUNK, side="right")) - 1
        last = min(max(last, first + 1), n)
        yield first, last
        first = last


def _moved(
    pairs: tuple[np.ndarray, np.ndarray],
    starts: np.ndarray,
    order: np.ndarray,
    offsets: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (flat position in the spool, value) at their positions in the final order, sorted."""
    positions, values = pairs
    new_start = np.empty_like(starts)
    new_start[order] = offsets[:-1]
    context = np.searchsorted(starts, positions, side="right") - 1
    moved = new_start[context] + positions - starts[context]
    by_place = np.argsort(moved, kind="stable")
    return moved[by_place], values[by_place]
