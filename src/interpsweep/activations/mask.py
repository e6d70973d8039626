"""Stage ``mask``: which captured rows are used, their moments, and the massive rows there are.

A row is left out if it stands at one of the leading positions, is one of some tokens, or has a
norm far above the median of the analysis split. Capture keeps all rows, so another mask captures
nothing again. What massive activations there are is reported whether they are left out or not, of
all rows of the analysis split:

``massive.parquet``
    Where its second moment sits, one row per part: ``by`` (norm, position, token, dimension),
    ``part`` (``> 10 x the median``, a position, a token, a dimension), ``rows``, ``share_of_rows``,
    ``second_moment`` (the part's share of the sum of squared norms; for a dimension its share of
    the variance). Positions and tokens are those of rows above `MASSIVE` times the median norm.
``norms.parquet``
    The distribution of norms: ``norm`` (lower edge of a bin, in medians), ``rows``,
    ``second_moment`` (share) and ``left_out`` (rows of the bin).
``summary.json``
    The rule as it was applied, the rows left out of each split and by each reason, and the shares
    above as single numbers.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

from interpsweep.activations.artifact import LEFT_OUT, REASONS, Activations
from interpsweep.activations.massive import (
    MASSIVE,
    Found,
    added,
    massive_table,
    norms_of,
    norms_table,
    shares,
)
from interpsweep.activations.statistics import write_statistics
from interpsweep.config.base import own_fields
from interpsweep.config.mask import MaskSettings
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.errors import UserError, nearest
from interpsweep.spec import Spec
from interpsweep.store.layout import MANIFEST
from interpsweep.store.seal import read_manifest
from interpsweep.tables import write_json, write_parquet

SPLIT = "analysis"  # whose norms set the scale, and which is reported on


class Rule(NamedTuple):
    """What is left out, with nothing left to be decided."""

    positions: int
    norm: float | None  # in medians
    tokens: tuple[int, ...]


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Find the rows of ``inputs["activations"]`` that are left out; see above for what is written.

    Raises UserError if a token is unknown, or nothing of a split is left.
    """
    settings = own_fields(MaskSettings, spec["settings"])
    activations, corpus = Activations.open(inputs["activations"]), Corpus.open(inputs["corpus"])
    rule = resolve(settings, _causal(activations.path), corpus)
    pieces = activations.chunks(SPLIT)
    norms = added(ctx.block_map(partial(norms_of, activations.path), pieces, "norms"))
    found = find(activations, corpus, rule, norms.median if norms.rows else 1.0, ctx)
    left_out = found.take(found.reason > 0)
    arrays = {"row": left_out.row, "token": left_out.token, "reason": left_out.reason}
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, out / LEFT_OUT)
    used = Activations(activations.path, (out,))
    counts = refuse_nothing(activations, used, rule)
    write_statistics(used, out, ctx.block_map, settings.statistics_rows)
    massive = massive_table(norms, found, corpus, activations.splits[SPLIT])
    write_parquet(massive, out / "massive.parquet")
    write_parquet(norms_table(norms, found, activations.splits[SPLIT]), out / "norms.parquet")
    summary = {
        **rule._asdict(),
        "tokens": list(rule.tokens),
        "median_norm": norms.median if norms.rows else None,
        **counts,
        **shares(norms, left_out, massive, activations.splits[SPLIT]),
    }
    write_json(summary, out / "summary.json")
    ctx.log(f"{activations.path.name}: {said(summary)}")
    return summary


def said(summary: dict[str, Any]) -> str:
    """One sentence about what was found."""
    massive, moment = summary["massive_share"], summary["massive_second_moment"]
    return (
        f"{summary['left_out']:,} of {summary['rows']:,} rows are left out; rows above {MASSIVE:g} "
        f"times the median norm are {100 * massive:.3g} % of the rows and {100 * moment:.3g} % of "
        "the second moment of the analysis split"
    )


# ---------------------------------------------------------------------- the rule


def resolve(settings: MaskSettings, causal: bool, corpus: Corpus) -> Rule:
    """The settings with defaults decided and tokens as ids. Raises UserError for unknown ones."""
    positions, norm = settings.positions, settings.norm
    if positions == "auto":
        positions = 1 if causal else 0
    if norm == "auto":
        norm = MASSIVE if causal else None
    words = corpus.vocabulary
    ids = []
    for token in settings.tokens:
        if isinstance(token, int):
            if token >= len(words):
                raise UserError(
                    f"mask.tokens: the vocabulary has {len(words)} tokens, there is no {token}"
                )
            ids.append(token)
            continue
        same = [number for number, word in enumerate(words) if word == token]
        if not same:
            raise UserError(
                f"mask.tokens: {token!r} is not one token of the vocabulary"
                f"{nearest(token, words)}; give a text that is, white space counted, or an id"
            )
        ids += same
    return Rule(positions, norm, tuple(sorted(set(ids))))


def _causal(activations: Path) -> bool:
    """Whether the model predicts the next token, as its captured activations say."""
    manifest = activations / MANIFEST
    noted = read_manifest(manifest).get("metrics", {}) if manifest.exists() else {}
    return bool(noted.get("causal", False))


def refuse_nothing(captured: Activations, used: Activations, rule: Rule) -> dict[str, Any]:
    """Rows and rows left out, of all and of each split. Raises UserError if a split has none."""
    counts: dict[str, Any] = {"rows": captured.shape[0], "left_out": len(used.left_out.row)}
    for split, (first, last) in captured.splits.items():
        start, stop = used.splits[split]
        if first < last and start == stop:
            raise UserError(
                f"mask: nothing is left of the {last - first} rows of the {split} split (positions "
                f"{rule.positions}, norm {rule.norm}, {len(rule.tokens)} tokens); leave out less, "
                "or take longer contexts"
            )
        counts[f"left_out_{split}"] = (last - first) - (stop - start)
    return counts


# ---------------------------------------------------------------------- rows


def find(
    activations: Activations, corpus: Corpus, rule: Rule, median: float, ctx: Context
) -> Found:
    """The rows of all splits that `rule` leaves out, and the massive ones of the analysis split."""
    splits = list(activations.splits) if rule != Rule(0, None, ()) else [SPLIT]
    pieces = sorted(piece for split in splits for piece in activations.chunks(split))
    work = partial(_find, activations.path, corpus.path, rule, median, activations.splits[SPLIT])
    none = Found(*(np.zeros(0, t) for t in (np.int64, np.int64, np.int32, np.float64, np.uint8)))
    parts = [none, *ctx.block_map(work, pieces, "rows left out")]
    return Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _find(
    path: Path,
    corpus: Path,
    rule: Rule,
    median: float,
    reported: tuple[int, int],
    block: tuple[int, int],
) -> Found:
    activations, (start, stop) = Activations(path), block
    token, position = activations.token(start, stop), activations.position(start, stop)
    row = np.arange(start, stop)
    reason = np.where(position < rule.positions, REASONS["position"], 0).astype(np.uint8)
    if rule.tokens:
        low, high = int(token.min()), int(token.max()) + 1
        ids = np.asarray(Corpus.open(corpus).flat(low, high))[token - low]
        reason |= np.where(np.isin(ids, rule.tokens), REASONS["token"], 0).astype(np.uint8)
    shown = (row >= reported[0]) & (row < reported[1])
    norm = np.full(stop - start, np.nan)
    if rule.norm is not None or shown.any():
        values = activations.read(start, stop).astype(np.float64)
        norm = np.sqrt(np.einsum("nd,nd->n", values, values)) / median
    if rule.norm is not None:
        reason |= np.where(norm > rule.norm, REASONS["norm"], 0).astype(np.uint8)
    massive = shown & (norm > MASSIVE)
    return Found(row, token, position, norm, reason).take((reason > 0) | massive)
