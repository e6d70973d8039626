"""Stage `corpus`: tokens, contexts, splits and labels, from the planted language or from text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter

from interpsweep.config.corpora import (
    ActivationsCorpus,
    CorpusSettings,
    GeneratedCorpus,
    LanguageSettings,
)
from interpsweep.context import Context
from interpsweep.corpora.identity import parts
from interpsweep.corpora.outside import write_stored
from interpsweep.corpora.sources import docstrings, hub, templates, text
from interpsweep.corpora.sources.document import Document, readable
from interpsweep.corpora.spool import Spool
from interpsweep.corpora.tokenizer import Encoded, Tokenizer, open_tokenizer
from interpsweep.corpora.world import write_world
from interpsweep.corpora.write import (
    CHUNK,
    SPLITS,
    TokenStore,
    independent_contexts,
    order_spool,
    write_meta,
    write_spool,
)
from interpsweep.errors import UserError
from interpsweep.spec import Spec
from interpsweep.worlds import language

_SETTINGS = TypeAdapter(Annotated[CorpusSettings, Field(discriminator="source")])
_BATCH = 256  # documents tokenised together
_SHORTEST = 2  # tokens; a context of one token has nothing to predict


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Make a corpus; see `corpora.write` for the files."""
    given = dict(spec["settings"])
    content = given.pop("content", {})
    tokenizer = given.pop("tokenizer", None)
    planted, world = given.pop("language", None), given.pop("world", None)
    stored, marks = given.pop("activations", None), given.pop("marks", [])
    settings = _SETTINGS.validate_python(_with_paths(given))
    if isinstance(settings, ActivationsCorpus):
        return write_stored(settings, ctx.external(stored), marks, out, ctx)
    if isinstance(settings, GeneratedCorpus):
        if world is not None:
            n, splits, made = write_world(settings, world, out, ctx)
            tokens = n * settings.context_length
            return _summary(tokens, n, n, splits, len(made.vocabulary))
        return _generated(settings, LanguageSettings(**planted), out, ctx)
    opened = open_tokenizer(tokenizer, inputs.get("model"), ctx, settings)
    return _from_text(settings, content, opened, out, ctx)


def _with_paths(given: dict[str, Any]) -> dict[str, Any]:
    """A spec holds no paths; the settings ask for some, which the content digests stand for."""
    if given.get("parts"):
        return given | {"parts": [_with_paths(part) for part in given["parts"]]}
    return given | {"files": ("locked",)} if given["source"] == "text" else given


# ---------------------------------------------------------------- the planted language


def _generated(
    settings: GeneratedCorpus, planted: LanguageSettings, out: Path, ctx: Context
) -> dict[str, Any]:
    lang = language(planted)
    length = settings.context_length
    n, splits = independent_contexts(settings)
    store = TokenStore(out, n * length, lang.concepts)
    step = max(1, CHUNK // length)
    with ctx.bar(n * length, "generating", unit="tok") as bar:
        for first in range(0, n, step):
            count = min(step, n - first)
            # a model's training and validation streams begin at 2 ** 32: no context is shared
            sample = lang.sample(count, length, settings.seed, first=first)
            begin = first * length
            store.put("tokens", begin, sample.tokens.ravel())
            store.put("special", begin, (sample.tokens.ravel() == lang.bos).astype(np.uint8))
            for name, values in sample.labels.items():
                store.put(f"labels/{name}", begin, values.ravel())
            bar.advance(count * length)
    store.finish(np.arange(n + 1, dtype=np.int64) * length, np.arange(n, dtype=np.int32))
    readable = [f" {word}" for word in lang.vocabulary]
    write_meta(out, splits, lang.concepts, length, readable, lang.truth())
    return _summary(n * length, n, n, splits, len(lang.vocabulary))


# ---------------------------------------------------------------- text


def _from_text(
    settings: Any, content: dict[str, Any], tokenizer: Tokenizer, out: Path, ctx: Context
) -> dict[str, Any]:
    sources = parts(settings)
    contents = content["parts"] if settings.source == "mix" else [content]
    concepts: dict[str, dict] = {}
    tally: Counter[str] = Counter()
    for note in tokenizer.notes:
        ctx.log(note)
    with Spool(out / "spool.partial") as spool:
        with ctx.bar(settings.n_tokens, "tokenising", unit="tok") as bar:
            wanted = Shares.of_parts(settings, _least(tokenizer, settings.context_length))
            for i, (part, held) in enumerate(zip(sources, contents, strict=True)):
                stream = documents(part, held, ctx, settings.seed + i, tally)
                for size in _fill(spool, stream, tokenizer, settings.context_length, wanted[i]):
                    bar.advance(size)
                wanted[i].check(part.source)
                if part.source == "templates":
                    concepts |= templates.concepts(part.slots)
        order, splits = order_spool(spool, settings.seed)
        _check_splits(splits, settings)
        with ctx.bar(spool.n_tokens, "writing", unit="tok") as bar:
            for size in write_spool(spool, order, out, concepts, tokenizer.is_special):
                bar.advance(size)
        write_meta(out, splits, concepts, settings.context_length, tokenizer.vocabulary)
        summary = _summary(
            spool.n_tokens, len(order), spool.n_documents, splits, len(tokenizer.vocabulary)
        )
    return summary | _read(tokenizer, settings.special_tokens, tally, ctx)


def _read(tokenizer: Tokenizer, special: str, tally: Counter[str], ctx: Context) -> dict[str, Any]:
    """What the manifest says about how texts became tokens; what was left out is logged."""
    for what, says in (
        ("null", "rows without a text (null) left out"),
        ("blank", "blank texts left out"),
        ("mended", "texts with characters that cannot be encoded: those became U+FFFD"),
    ):
        if tally[what]:
            ctx.log(f"{tally[what]:,} {says}")
    return {
        "marks": tokenizer.marks,
        "special_tokens_in_texts": special,
        "rows": {what: tally[what] for what in ("null", "blank", "mended")},
        "notes": tokenizer.notes,
    }


def documents(
    part: Any, content: dict[str, Any], ctx: Context, seed: int, tally: Counter[str]
) -> Iterator[Document]:
    """Documents of one source, in the order that `seed` gives; `tally` counts what is left out."""
    if part.source == "templates":
        return templates.documents(part.slots, seed)
    if part.source == "text":
        files = [(ctx.external(f["digest"]), f["format"]) for f in content["files"]]
        return readable(text.texts(files, part.documents, part.field, seed), tally)
    if part.source == "docstrings":
        packages = {name: ctx.external(d) for name, d in content["packages"].items()}
        return readable(docstrings.texts(packages, part.min_characters, seed), tally)
    found = hub.texts(part.repo, content["commit"], part.config, part.split, part.field)
    return readable(found, tally)


def _least(tokenizer: Tokenizer, length: int) -> int:
    """Tokens of the shortest context, marks included."""
    marks = len(tokenizer.prefix) + len(tokenizer.suffix)
    if length - marks < _SHORTEST:
        raise UserError(f"corpus.context_length: {length} leaves no room beside {marks} marks")
    return marks + _SHORTEST


def _fill(
    spool: Spool, stream: Iterator[Document], tokenizer: Tokenizer, length: int, wanted: Shares
) -> Iterator[int]:
    """Append documents until all splits have theirs; yields the tokens of each document."""
    while not wanted.full and (batch := list(islice(stream, _BATCH))):
        encoded = tokenizer.encode([document.text for document in batch])
        for document, tokens in zip(batch, encoded, strict=True):
            if wanted.full:
                return
            split = wanted.draw()
            contexts, labels = cut(
                document, tokens, length, tokenizer.prefix, tokenizer.suffix, wanted.left[split]
            )
            size = sum(map(len, contexts))
            wanted.take(split, size, len(tokens.ids))
            if size:
                spool.add_document(contexts, labels, split)
                yield size


def cut(
    document: Document,
    encoded: Encoded,
    length: int,
    prefix: list[int],
    suffix: list[int],
    most: int,
) -> tuple[list[np.ndarray], list[tuple[str, int, int]]]:
    """A document as contexts of at most `length` tokens, marks included, without padding.

    Together they have at most `most` tokens; the rest of the document is dropped.

    Returns the contexts and the labels as (concept, position in the concatenated contexts, value);
    a label sits on the last token that reaches into its span.
    """
    marks = len(prefix) + len(suffix)
    room = length - marks
    whole, rest = divmod(most, length)
    n = min(len(encoded.ids), whole * room + max(rest - marks, 0))
    head, tail = np.array(prefix, np.int32), np.array(suffix, np.int32)
    contexts = [
        np.concatenate([head, encoded.ids[i : min(i + room, n)], tail])
        for i in range(0, n, room)
        if min(room, n - i) >= _SHORTEST
    ]
    kept = sum(map(len, contexts)) - len(contexts) * marks
    labels = []
    for span in document.spans:
        inside = (encoded.offsets[:, 0] < span.stop) & (encoded.offsets[:, 1] > span.start)
        places = np.flatnonzero(inside)
        if len(places) and places[-1] < kept:
            before, within = divmod(int(places[-1]), room)
            labels.append((span.concept, before * length + len(prefix) + within, span.value))
    return contexts, labels


def _check_splits(splits: dict[str, list[int]], settings: Any) -> None:
    for name, (first, last) in splits.items():
        if first == last:
            raise UserError(
                f"corpus: no context for the split {name}: its share of {settings.n_tokens:,} "
                "tokens is shorter than one. Raise corpus.n_tokens or the share"
            )


def _summary(
    n_tokens: int, n_contexts: int, n_documents: int, splits: dict[str, list[int]], vocabulary: int
) -> dict[str, Any]:
    return {
        "tokens": n_tokens,
        "contexts": n_contexts,
        "documents": n_documents,
        "vocabulary": vocabulary,
        **{f"{name}_contexts": stop - start for name, (start, stop) in splits.items()},
    }


# --------------------------------------------------------------------------- shares of splits


class Shares:
    """The tokens that one source still has to give to each split."""

    def __init__(self, goals: list[int], least: int, rng: np.random.Generator) -> None:
        """`goals`: tokens for each of SPLITS; `least`: those of the shortest context."""
        self.goals, self.left = goals, list(goals)
        self._least, self._rng = least, rng
        self._documents = self._seen = 0

    @classmethod
    def of_parts(cls, settings: Any, least: int) -> list[Shares]:
        """Those of each source of a corpus. Rounding never adds up to more than was asked for."""
        weights = np.array([getattr(part, "share", 1.0) for part in parts(settings)])
        held_out = [settings.analysis_share, settings.eval_share]
        split = np.array([1 - sum(held_out), *held_out])
        # edges of all cells laid end to end: (parts, splits)
        edges = np.cumsum(np.outer(weights / weights.sum(), split).ravel()) * settings.n_tokens
        goals = np.diff(np.rint(edges).astype(int), prepend=0).reshape(len(weights), -1)
        return [
            cls(goal.tolist(), least, np.random.default_rng([settings.seed, 5, i]))
            for i, goal in enumerate(goals)
        ]

    @property
    def full(self) -> bool:
        """Whether no split has room for another context."""
        return max(self.left) < self._least

    def draw(self) -> int:
        """The split of the next document. Needs one that has room."""
        room = [left if left >= self._least else 0 for left in self.left]
        return int(np.searchsorted(np.cumsum(room), self._rng.integers(sum(room)), "right"))

    def take(self, split: int, tokens: int, length: int) -> None:
        """Note that a document of `length` tokens gave `tokens` (marks included) to a split."""
        self.left[split] -= tokens
        self._documents += 1
        self._seen += length

    def check(self, source: str) -> None:
        """Raise UserError if the source ended before every split had its tokens."""
        if self.full:
            return
        if self._seen == 0:
            raise UserError(f"corpus: the source `{source}` holds no text")
        got = [
            f"{name} {goal - left:,} of {goal:,}"
            for name, goal, left in zip(SPLITS, self.goals, self.left, strict=True)
        ]
        raise UserError(
            f"corpus: {sum(self.goals):,} tokens were asked of the source `{source}`, and it holds "
            f"{self._seen:,} in {self._documents:,} documents, which gave {', '.join(got)} (a "
            "document is in one split only, and is cut where that is full). Lower corpus.n_tokens "
            "(or the part's share), give it more text, or cut it finer with corpus.documents"
        )
