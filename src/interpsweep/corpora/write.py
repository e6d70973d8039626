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

    def finish(self, offsets: np.ndarray, document: np.ndarray) -> None:
        """Write the arrays that have one entry per context."""
        for name, values in (("offsets", offsets), ("document", document)):
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


def assign_splits(tokens_of: np.ndarray, analysis: float, held_out: float) -> np.ndarray:
    """Split of each document: int64 (D,) of 0 train, 1 analysis, 2 eval, in this order.

    tokens_of: int64 (D,), tokens of the documents in their final order. A document belongs where
    its middle token falls; every split gets at least one document. Needs D >= 3.
    """
    middle = np.cumsum(tokens_of) - tokens_of / 2
    total = tokens_of.sum()
    d = len(tokens_of)
    first = int(np.searchsorted(middle, total * (1 - analysis - held_out)))
    first = min(max(first, 1), d - 2)
    second = int(np.searchsorted(middle, total * (1 - held_out)))
    second = min(max(second, first + 1), d - 1)
    split = np.zeros(d, np.int64)
    split[first:second], split[second:] = 1, 2
    return split


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
    names = ("train", "analysis", "eval")
    return {name: [int(bounds[i]), int(bounds[i + 1])] for i, name in enumerate(names)}


def order_spool(
    spool: Spool, seed: int, analysis: float, held_out: float
) -> tuple[np.ndarray, dict[str, list[int]]]:
    """The final order of the spool's contexts (documents permuted by `seed`), and their splits."""
    lengths, documents = spool.lengths, spool.documents
    if spool.n_documents < 3:
        raise UserError(
            f"corpus: only {spool.n_documents} documents; a corpus needs at least three, one for "
            "each split. Give more text, or cut it finer with corpus.documents"
        )
    permuted = np.random.default_rng([seed, 4]).permutation(spool.n_documents)
    rank = np.empty_like(permuted)
    rank[permuted] = np.arange(len(permuted))
    order = np.argsort(rank[documents], kind="stable")
    tokens_of = np.bincount(documents, lengths, minlength=spool.n_documents)[permuted]
    split = assign_splits(tokens_of, analysis, held_out)
    return order, split_contexts(split[rank[documents[order]]])


def write_spool(
    spool: Spool,
    order: np.ndarray,
    out: Path,
    concepts: dict[str, Any],
    marks: tuple[int, int],
) -> Iterator[int]:
    """Write the spool's contexts in `order`; yields the number of tokens after each piece.

    `marks`: how many tokens at the start and at the end of every context are special.
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
        store.put("tokens", begin, flat[np.repeat(starts[order[first:last]], sizes) + within])
        special = (within < marks[0]) | (np.repeat(sizes, sizes) - within <= marks[1])
        store.put("special", begin, special.astype(np.uint8))
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
