"""Held-out linear probes from streamed moments, and class means, float64."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.geometry.tokens import Tokens

Array = NDArray[np.float64]


class Moments(NamedTuple):
    """Sums over the labelled tokens of one concept, each for even [0] and odd [1] contexts."""

    counts: Array  # (2, k) tokens of each value
    sums: Array  # (2, k, d) activations of each value
    products: Array  # (2, d, d)


def targets(shape: str, k: int) -> Array:
    """Coordinates of k values in their declared shape: cosine and sine, place, or one-hot."""
    if shape == "circle":
        angle = 2 * np.pi * np.arange(k) / k
        return np.column_stack([np.cos(angle), np.sin(angle)])
    if shape == "line":
        return np.linspace(-1, 1, k)[:, None]
    return np.eye(k)


def moments(activations: Any, tokens: Tokens, first: int, ctx: Any) -> dict[str, Moments]:
    """Moments of every concept in one pass over the tokens' rows, which begin at row `first`."""
    last = first + len(tokens.flat)
    edges = range(first - first % activations.chunk_rows, last, activations.chunk_rows)
    blocks = [(max(first, e), min(last, e + activations.chunk_rows)) for e in edges]
    total: dict[str, Moments] = {}
    work = partial(_block_moments, activations=activations, tokens=tokens, first=first)
    for part in ctx.block_map(work, blocks, "class means"):
        for name, new in part.items():
            old = total.get(name)
            total[name] = (
                new if old is None else Moments(*(a + b for a, b in zip(old, new, strict=True)))
            )
    return total


def _block_moments(
    block: tuple[int, int], activations: Any, tokens: Tokens, first: int
) -> dict[str, Moments]:
    x = activations.read(*block).astype(np.float64)
    rows = slice(block[0] - first, block[1] - first)
    odd = tokens.context[rows] % 2
    made = {}
    for name, concept in tokens.concepts.items():
        label, k = tokens.label(name, rows), len(concept["values"])
        halves = []
        for half in (0, 1):
            here = np.flatnonzero((label >= 0) & (odd == half))
            values = sp.csr_matrix(
                (np.ones(len(here)), (label[here], np.arange(len(here)))), (k, len(here))
            )
            mine = x[here]
            halves.append((np.bincount(label[here], minlength=k), values @ mine, mine.T @ mine))
        made[name] = Moments(*(np.array(part, np.float64) for part in zip(*halves, strict=True)))
    return made


def held_out_r2(found: Moments, goal: Array, ridge: float) -> float:
    """R2 on odd contexts of a ridge regression to `goal` (k, t) learned on even contexts."""
    train, test = (_centred(found, goal, half) for half in (0, 1))
    if train is None or test is None:
        return float("nan")
    scale = ridge * np.trace(train.xx) / len(train.xx)
    weights = np.linalg.solve(train.xx + scale * np.eye(len(train.xx)), train.xy)
    # the constant comes from the training half: its error at the test mean adds to the residual
    shift = (test.mean_y - train.mean_y) - (test.mean_x - train.mean_x) @ weights
    residual = (
        test.yy - 2 * np.sum(weights * test.xy) + np.sum(weights * (test.xx @ weights))
    ) + np.sum(shift**2)
    return float(1 - residual / max(test.yy, 1e-300))


class _Centred(NamedTuple):
    xx: Array
    xy: Array
    yy: float
    mean_x: Array
    mean_y: Array


def _centred(found: Moments, goal: Array, half: int) -> _Centred | None:
    count, sums = found.counts[half], found.sums[half]
    n = count.sum()
    if n < 2:
        return None
    mean_x, mean_y = sums.sum(axis=0) / n, count @ goal / n
    return _Centred(
        found.products[half] / n - np.outer(mean_x, mean_x),
        sums.T @ goal / n - np.outer(mean_x, mean_y),
        float(count @ np.sum(goal**2, axis=1) / n - np.sum(mean_y**2)),
        mean_x,
        mean_y,
    )


def between_share(found: Moments) -> float:
    """Share of the labelled activations' variance that lies between the values."""
    count, sums = found.counts.sum(axis=0), found.sums.sum(axis=0)
    n = count.sum()
    mean = sums.sum(axis=0) / n
    total = np.trace(found.products.sum(axis=0)) - n * mean @ mean
    here = count > 0
    between = np.sum(np.sum(sums[here] ** 2, axis=1) / count[here]) - n * mean @ mean
    return float(between / max(total, 1e-300))


def separation(
    activations: Any, tokens: Tokens, first: int, found: dict[str, Moments], ctx: Any
) -> dict[str, float]:
    """Balanced accuracy on odd contexts of the nearest even-context mean; chance 0, perfect 1."""
    means = {name: m.sums[0] / np.maximum(m.counts[0], 1)[:, None] for name, m in found.items()}
    last = first + len(tokens.flat)
    edges = range(first - first % activations.chunk_rows, last, activations.chunk_rows)
    blocks = [(max(first, e), min(last, e + activations.chunk_rows)) for e in edges]
    work = partial(_hits, activations=activations, tokens=tokens, first=first, means=means)
    hits = {name: np.zeros(len(m)) for name, m in means.items()}
    for part in ctx.block_map(work, blocks, "separation"):
        for name, new in part.items():
            hits[name] = hits[name] + new
    made = {}
    for name, m in found.items():
        here = (m.counts[0] > 0) & (m.counts[1] > 0)
        k = int(here.sum())
        rate = np.mean(hits[name][here] / m.counts[1][here]) if k > 1 else np.nan
        made[name] = float((rate - 1 / k) / (1 - 1 / k)) if k > 1 else float("nan")
    return made


def _hits(
    block: tuple[int, int], activations: Any, tokens: Tokens, first: int, means: dict[str, Array]
) -> dict[str, Array]:
    x = activations.read(*block).astype(np.float64)
    rows = slice(block[0] - first, block[1] - first)
    odd = tokens.context[rows] % 2 == 1
    made = {}
    for name, centres in means.items():
        label = tokens.label(name, rows)
        here = np.flatnonzero((label >= 0) & odd)
        near = np.argmax(x[here] @ centres.T - 0.5 * np.sum(centres**2, axis=1), axis=1)
        right = label[here][near == label[here]]
        made[name] = np.bincount(right, minlength=len(centres)).astype(float)
    return made
