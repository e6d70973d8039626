"""The corpus of activations that were made elsewhere: their tokens, contexts and positions.

Beside what every corpus has, ``source`` int64 (T,) in `tokens.zarr`: the row of the folder behind
each flat token, -1 where a position has none. Those tokens are special, so that a token stands at
its own position whatever was left out before it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from interpsweep.config.corpora import ActivationsCorpus
from interpsweep.context import Context
from interpsweep.corpora.stored import TOKENIZER, VOCABULARY, Stored
from interpsweep.corpora.tokenizer import Tokenizer
from interpsweep.corpora.write import CHUNK, SPLITS, TokenStore, split_contexts, write_meta
from interpsweep.errors import UserError

SOURCE = "source"


def write_stored(
    settings: ActivationsCorpus, folder: Path, marks: list[int | str], out: Path, ctx: Context
) -> dict[str, Any]:
    """Write the corpus of the rows in `folder`; return its summary. `marks` are no rows."""
    stored = Stored(folder)
    tokens, context, position = stored.places
    ids, vocabulary, special = _read(stored, tokens, marks)
    starts = np.flatnonzero(np.concatenate([[True], context[1:] != context[:-1]]))
    stops = np.append(starts[1:], len(context))
    lengths = position[stops - 1] + 1
    order, splits = _order(settings, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths[order])])
    source = np.full(offsets[-1], -1, np.int64)
    for begin, chosen in zip(offsets[:-1].tolist(), order.tolist(), strict=True):
        rows = np.arange(starts[chosen], stops[chosen])
        source[begin + position[rows]] = rows
    missing = source < 0
    if missing.any():  # a token of its own, the last
        vocabulary, special = [*vocabulary, ""], np.append(special, True)
        ids = np.append(ids, len(vocabulary) - 1)  # which is where -1 points
    flat = ids[source].astype(np.int32)
    store = TokenStore(out, len(flat), {})
    for first in range(0, len(flat), CHUNK):
        piece = flat[first : first + CHUNK]
        store.put("tokens", first, piece)
        store.put("special", first, special[piece].astype(np.uint8))
    documents = np.arange(len(order), dtype=np.int32)
    store.finish(offsets.astype(np.int64), documents, **{SOURCE: source})
    write_meta(out, splits, {}, int(lengths.max()), vocabulary)
    used = int((special[flat] == 0).sum())
    ctx.log(f"{used:,} of {stored.rows:,} rows, {len(order):,} of {len(lengths):,} contexts")
    return {
        "tokens": len(flat),
        "contexts": len(order),
        "documents": len(order),
        "vocabulary": len(vocabulary),
        **{f"{name}_contexts": stop - start for name, (start, stop) in splits.items()},
        "marks": [vocabulary[i] for i in np.flatnonzero(special) if vocabulary[i]],
        "positions_without_rows": int(missing.sum()),
    }


def _order(settings: ActivationsCorpus, lengths: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Contexts in their order (by split, within it as in the folder), and the splits.

    Contexts are drawn at random until `n_tokens` are there; each counts as a document of its own.
    """
    drawn = np.random.default_rng([settings.seed, 6]).permutation(len(lengths))
    ends = np.cumsum(lengths[drawn])
    drawn, ends = drawn[ends <= settings.n_tokens], ends[ends <= settings.n_tokens]
    held_out = settings.analysis_share + settings.eval_share
    edges = np.array([1 - held_out, 1 - settings.eval_share]) * (ends[-1] if len(ends) else 0)
    split = np.searchsorted(edges, ends - lengths[drawn] / 2, "right")
    for number, name in enumerate(SPLITS):
        if not (split == number).any():
            raise UserError(
                f"corpus: no context for the split {name}: {len(drawn)} contexts fit into "
                f"n_tokens {settings.n_tokens:,}. Raise corpus.n_tokens or the share, or give more"
            )
    by_place = np.lexsort((drawn, split))
    return drawn[by_place], split_contexts(split[by_place])


def _read(
    stored: Stored, tokens: np.ndarray, marks: list[int | str]
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Ids (rows,), readable strings of all ids, and which of them are marks: bool (vocabulary,)."""
    if tokens.dtype.kind == "U":
        names, ids = np.unique(tokens, return_inverse=True)
        vocabulary, special = names.tolist(), np.zeros(len(names), bool)
    else:
        ids = tokens.astype(np.int64)
        vocabulary, special = _vocabulary(stored.folder, int(ids.max()))
        wrong = np.flatnonzero((ids < 0) | (ids >= len(vocabulary)))
        if len(wrong):
            raise UserError(
                f"{stored.where(int(wrong[0]))}: token {ids[wrong[0]]} is not in the vocabulary of "
                f"{len(vocabulary):,}"
            )
    number = {name: i for i, name in enumerate(vocabulary)}
    for mark in marks:
        i = number.get(mark, -1) if isinstance(mark, str) else mark
        if not 0 <= i < len(vocabulary):
            raise UserError(f"models[].marks: no token {mark!r} in {stored.folder}")
        special[i] = True
    if special[ids].all():
        raise UserError(f"models[].marks: every token of {stored.folder} is a mark")
    return ids, vocabulary, special


def _vocabulary(folder: Path, largest: int) -> tuple[list[str], np.ndarray]:
    """Strings of ids from the folder's tokenizer or vocabulary, else the ids themselves."""
    if (folder / TOKENIZER).is_file():
        tokenizer = Tokenizer(folder, prepend_bos=False)
        return list(tokenizer.vocabulary), tokenizer.is_special.copy()
    file = folder / VOCABULARY
    if not file.is_file():
        names = [f" {i}" for i in range(max(largest, 0) + 1)]
        return names, np.zeros(len(names), bool)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not JSON ({error})") from None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise UserError(f"{file}: a list of strings, one for each token id")
    return found, np.zeros(len(found), bool)
