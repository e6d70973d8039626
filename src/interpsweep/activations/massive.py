"""Massive activations: where the second moment of a site's rows sits. No torch.

A few rows of a model that predicts the next token can carry most of the second moment: the first
token of a context, a separator, on a few dimensions (Sun et al. 2024, "Massive activations in large
language models"). They are looked for whether a mask leaves them out or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from interpsweep.activations.artifact import REASONS, Activations
from interpsweep.corpora.artifact import Corpus

MASSIVE = 10.0  # times the median norm: what is called massive, and left out by default
ABOVE = (3.0, 10.0, 30.0, 100.0)  # times the median
BINS = 256  # per doubling of the norm: the median is exact to .3 %
SHOWN_BINS = 8  # of which so many are shown, per doubling
PARTS = 10  # positions, tokens and dimensions that are named
_SMALLEST = 2.0**-126


class Norms(NamedTuple):
    """Norms and dimensions of some rows: sums, so that blocks add up."""

    bins: dict[int, tuple[int, float]]  # log2 norm in BINS -> rows, sum of squared norms
    total: np.ndarray  # (d,) sum of rows
    squares: np.ndarray  # (d,) sum of their squares

    @property
    def rows(self) -> int:
        """How many rows."""
        return sum(count for count, _ in self.bins.values())

    @property
    def second_moment(self) -> float:
        """The sum of their squared norms."""
        return float(self.squares.sum())

    @property
    def median(self) -> float:
        """The median norm: the middle of its bin."""
        order = sorted(self.bins)
        upto = np.cumsum([self.bins[b][0] for b in order])
        return float(2.0 ** ((order[int(np.searchsorted(upto, upto[-1] / 2))] + 0.5) / BINS))


class Found(NamedTuple):
    """Rows that are left out, or massive, as parallel arrays."""

    row: np.ndarray  # int64
    token: np.ndarray  # int64, flat index into the corpus
    position: np.ndarray  # int32
    norm: np.ndarray  # float64, in medians; NaN where it was not needed
    reason: np.ndarray  # uint8, of `REASONS`; 0 for rows that are only massive

    def take(self, chosen: np.ndarray) -> Found:
        """These of them."""
        return Found(*(column[chosen] for column in self))


def norms_of(path: Path, block: tuple[int, int]) -> Norms:
    """Norms and dimensions of rows [start, stop)."""
    rows = Activations(path).read(*block).astype(np.float64)
    squares = np.einsum("nd,nd->n", rows, rows)
    place = _bin(np.sqrt(squares))
    values, which = np.unique(place, return_inverse=True)
    counts, sums = np.bincount(which), np.bincount(which, squares)
    bins = {int(b): (int(c), float(s)) for b, c, s in zip(values, counts, sums, strict=True)}
    return Norms(bins, rows.sum(0), np.einsum("nd,nd->d", rows, rows))


def _bin(norm: np.ndarray) -> np.ndarray:
    return np.floor(BINS * np.log2(np.maximum(norm, _SMALLEST))).astype(np.int64)


def added(parts: Iterator[Norms]) -> Norms:
    """The norms of several blocks together."""
    bins: dict[int, tuple[int, float]] = {}
    total: np.ndarray = np.zeros(1)
    squares: np.ndarray = np.zeros(1)
    for part in parts:
        for place, (count, sum_) in part.bins.items():
            before = bins.get(place, (0, 0.0))
            bins[place] = (before[0] + count, before[1] + sum_)
        total, squares = total + part.total, squares + part.squares
    return Norms(bins, total, squares)


def massive_table(
    norms: Norms, found: Found, corpus: Corpus, reported: tuple[int, int]
) -> pd.DataFrame:
    """The table ``massive`` of the `reported` rows; see stage ``mask``."""
    first, last = reported
    massive = found.take((found.norm > MASSIVE) & (found.row >= first) & (found.row < last))
    shares = norms.median**2 / norms.second_moment * massive.norm**2 if norms.rows else massive.norm
    made = [_above(norms, times) for times in ABOVE]
    words = np.array([*corpus.vocabulary], dtype=object)
    low = int(massive.token.min(initial=corpus.n_tokens))
    ids = np.asarray(corpus.flat(low, int(massive.token.max(initial=low - 1)) + 1), np.int64)
    for by, keys in (
        ("position", massive.position.astype(np.int64)),
        ("token", ids[massive.token - low]),
    ):
        values, which = np.unique(keys, return_inverse=True)
        counts, sums = np.bincount(which), np.bincount(which, shares)
        for i in np.argsort(-sums, kind="stable")[:PARTS]:
            name = str(words[values[i]]) if by == "token" else str(values[i])
            made.append(_part(by, name, int(counts[i]), norms.rows, float(sums[i])))
    variance = norms.squares / max(norms.rows, 1) - (norms.total / max(norms.rows, 1)) ** 2
    whole = max(float(variance.sum()), _SMALLEST)
    for i in np.argsort(-variance, kind="stable")[:PARTS]:
        made.append(_part("dimension", str(i), norms.rows, norms.rows, float(variance[i]) / whole))
    columns = {"by": str, "part": str, "rows": np.int64}
    return pd.DataFrame(made).astype(columns)


def _above(norms: Norms, times: float) -> dict[str, Any]:
    """The rows above so many medians, by bins."""
    edge = int(_bin(np.array([times * norms.median]))[0]) if norms.rows else 0
    held = [norms.bins[b] for b in norms.bins if b > edge]
    moment = sum(s for _, s in held) / max(norms.second_moment, _SMALLEST)
    rows = sum(count for count, _ in held)
    return _part("norm", f"> {times:g} x the median", rows, norms.rows, moment)


def _part(by: str, part: str, rows: int, of: int, moment: float) -> dict[str, Any]:
    return {
        "by": by,
        "part": part,
        "rows": rows,
        "share_of_rows": rows / max(of, 1),
        "second_moment": moment,
    }


def norms_table(norms: Norms, found: Found, reported: tuple[int, int]) -> pd.DataFrame:
    """The table ``norms``: bins of SHOWN_BINS to a doubling, from the smallest norm to the largest.

    Rows left out by position or token are in no bin of ``left_out`` but that of their norm.
    """
    middle = BINS * np.log2(norms.median) if norms.rows else 0.0
    step = BINS // SHOWN_BINS
    rows: dict[int, int] = {}
    moment: dict[int, float] = {}
    for place, (count, sum_) in norms.bins.items():
        shown = int(np.floor((place + 0.5 - middle) / step))
        rows[shown] = rows.get(shown, 0) + count
        moment[shown] = moment.get(shown, 0.0) + sum_
    here = (found.reason > 0) & (found.row >= reported[0]) & (found.row < reported[1])
    logs = SHOWN_BINS * np.log2(np.maximum(found.norm[here], _SMALLEST))
    left = np.floor(logs).astype(np.int64)
    order = range(min(rows, default=0), max(rows, default=-1) + 1)
    return pd.DataFrame(
        {
            "norm": [2.0 ** (b / SHOWN_BINS) for b in order],
            "rows": np.array([rows.get(b, 0) for b in order], np.int64),
            "second_moment": [
                moment.get(b, 0.0) / max(norms.second_moment, _SMALLEST) for b in order
            ],
            "left_out": np.array([int((left == b).sum()) for b in order], np.int64),
        }
    )


def shares(
    norms: Norms, left_out: Found, massive: pd.DataFrame, reported: tuple[int, int]
) -> dict[str, Any]:
    """Single numbers for the manifest: of the analysis split."""
    by = massive.set_index(["by", "part"])
    above = by.loc[("norm", f"> {MASSIVE:g} x the median")]
    here = (left_out.row >= reported[0]) & (left_out.row < reported[1])
    weight = norms.median**2 / norms.second_moment if norms.second_moment else 0.0
    dimensions = massive[massive["by"] == "dimension"]
    return {
        "massive_share": float(above["share_of_rows"]),
        "massive_second_moment": float(above["second_moment"]),
        "left_out_second_moment": float(weight * (left_out.norm[here] ** 2).sum()),
        "largest_dimension": int(dimensions["part"].iloc[0]),
        "largest_dimension_variance": float(dimensions["second_moment"].iloc[0]),
        **{
            f"left_out_by_{name}": int((left_out.reason & bit > 0).sum())
            for name, bit in REASONS.items()
        },
    }
