"""Co-firing of two dictionaries on the same tokens, streamed chunk by chunk as sparse products."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.errors import UserError
from interpsweep.saes.firing import BlockMap, Firing, exceeding, firings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

TABLE_ENTRIES = 1 << 25  # largest dense table of counts held at once (256 MB)
GATHER = 1 << 15  # rows gathered at once for products of activations with single directions


class CodeReader(Protocol):
    """The part of `saes.codes.Codes` that matching needs."""

    @property
    def n_rows(self) -> int:
        """Number of encoded rows."""

    @property
    def d_sae(self) -> int:
        """Number of latents."""

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Codes (stop - start, d_sae) of rows [start, stop)."""

    def chunks(self) -> Iterable[tuple[int, int]]:
        """Pieces [start, stop) that cover all rows."""


def require_same_rows(a: CodeReader, b: CodeReader) -> None:
    """Co-firing needs the same tokens on both sides."""
    if a.n_rows != b.n_rows or tuple(getattr(a, "rows", ())) != tuple(getattr(b, "rows", ())):
        raise UserError(
            f"the two SAEs were encoded on different tokens ({a.n_rows} and {b.n_rows} rows); "
            "match SAEs of one corpus and one analysis split"
        )


# --- first pass: which pairs fire together -------------------------------------------------------


def _joint_counts(chunk: tuple[int, int], a: CodeReader, b: CodeReader, columns: slice) -> Any:
    left, right = firings(a.read(*chunk)), firings(b.read(*chunk))[:, columns]
    return (left.T @ right).tocoo()


def candidates(
    a: CodeReader,
    b: CodeReader,
    counts_a: Ints,
    counts_b: Ints,
    top_k: int,
    overlap: float,
    block_map: BlockMap,
) -> tuple[Ints, Ints]:
    """Pairs worth measuring by co-firing.

    For each b its `top_k` latents a by P(a|b), and every pair with P(a|b) or P(b|a) of at least
    `overlap`: at most (1 + L0 / overlap) times the width. Works through b in blocks of columns, so
    that the table of counts stays below `TABLE_ENTRIES`.
    """
    width = max(1, min(b.d_sae, TABLE_ENTRIES // max(a.d_sae, 1)))
    found_a, found_b = [], []
    for first in range(0, b.d_sae, width):
        columns = slice(first, min(first + width, b.d_sae))
        table = np.zeros((a.d_sae, columns.stop - columns.start), np.int64)
        work = partial(_joint_counts, a=a, b=b, columns=columns)
        for joint in block_map(work, list(a.chunks()), "co-firing"):
            table[joint.row, joint.col] += joint.data.astype(np.int64)
        keep = table >= overlap * np.maximum(counts_b[columns], 1)
        keep |= table >= overlap * np.maximum(counts_a[:, None], 1)
        best = np.argsort(-table, axis=0, kind="stable")[:top_k]
        np.put_along_axis(keep, best, True, axis=0)
        rows, cols = np.nonzero(keep & (table > 0))
        found_a.append(rows)
        found_b.append(cols + first)
    return np.concatenate(found_a), np.concatenate(found_b)


# --- second pass: everything about the chosen pairs ----------------------------------------------


@dataclass
class Sums:
    """Sums over tokens. Pair fields have one entry per pair (a, b), latent fields one per latent.

    ``match`` is i(a), the mutual neighbour of a in dictionary b; a "hole" is a token on which a
    fires and its match is silent.
    """

    n_ab: Any
    n_ab_shifted: Any
    a_with_b: Any  # sum of a's activation where b fires too
    b_with_a: Any
    n_match_b: Any
    match_with_b: Any
    n_match_ab: Any
    match_with_ab: Any
    n_hole_b: Any
    hole_b: Any  # sum of b's activation over a's holes
    hole_projection: Any  # sum over a's holes where b fires of the projection of x on a
    n_match_a: Any  # per a
    match_with_a: Any  # per a
    added: Any  # per b: sum of squared activation minus twice its product with a's residual
    squared_error: Any  # (1,) a's squared reconstruction error
    rows: Any  # (1,)

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class PairWork:
    """What one chunk needs besides its tokens."""

    a: Firing
    b: Firing
    activations: Any  # `activations.artifact.Activations`
    first_row: int  # row of the activations where the codes begin
    pair_a: Ints
    pair_b: Ints
    match: Ints  # (n_a,) i(a) or -1
    decoder_a: NDArray[np.float32]  # (n_a, d) unit rows
    decoder_b: NDArray[np.float32]
    bias_a: NDArray[np.float32]
    bias_b: NDArray[np.float32]
    seed: int


def pair_sums(work: PairWork, block_map: BlockMap) -> Sums:
    """All sums of `Sums` over all tokens, in one pass.

    Firings and their activations are those above the floor; what is added to a reconstruction, and
    the reconstruction itself, are all codes.
    """
    total: Sums | None = None
    for part in block_map(partial(_chunk_sums, work), list(work.a.chunks()), "matching"):
        total = part if total is None else total + part
    if total is None:
        raise UserError("the codes hold no tokens; check the analysis split of the corpus")
    return total


def _chunk_sums(work: PairWork, chunk: tuple[int, int]) -> Sums:
    start, stop = chunk
    whole_a, whole_b = (
        sp.csr_matrix(side.codes.read(start, stop), dtype=np.float32) for side in (work.a, work.b)
    )
    a, b = exceeding(whole_a, work.a.floor), exceeding(whole_b, work.b.floor)
    x = work.activations.read(work.first_row + start, work.first_row + stop)
    fa, fb = firings(a), firings(b)
    match, fired_match = _matched(b, work.match), _matched(fb, work.match)
    both = fired_match.multiply(fa).tocsr()
    hole = (fa - both).tocsr()
    hole.eliminate_zeros()
    projection = fa.copy()
    projection.data = _products(fa, x - work.bias_b, work.decoder_a)

    def at(left: sp.csr_matrix, right: sp.csr_matrix) -> Floats:
        joint = (left.T.astype(np.float64) @ right).tocsr()
        return np.asarray(joint[work.pair_a, work.pair_b], np.float64).ravel()

    residual = x - (np.asarray(whole_a @ work.decoder_a) + work.bias_a)
    added = whole_b.data.astype(np.float64)
    gain = added**2 - 2 * whole_b.data * _products(whole_b, residual, work.decoder_b)
    column = partial(_column_sums, weights=None)
    return Sums(
        n_ab=at(fa, fb),
        n_ab_shifted=at(fa, _shifted(fb, work.seed, start)),
        a_with_b=at(a, fb),
        b_with_a=at(fa, b),
        n_match_b=at(fired_match, fb),
        match_with_b=at(match, fb),
        n_match_ab=at(both, fb),
        match_with_ab=at(match.multiply(fa).tocsr(), fb),
        n_hole_b=at(hole, fb),
        hole_b=at(hole, b),
        hole_projection=at(projection.multiply(hole).tocsr(), fb),
        n_match_a=column(both),
        match_with_a=column(match.multiply(fa)),
        added=_column_sums(whole_b, gain),
        squared_error=np.array([np.sum(residual.astype(np.float64) ** 2)]),
        rows=np.array([stop - start], np.float64),
    )


def _matched(codes: sp.csr_matrix, match: Ints) -> sp.csr_matrix:
    """Column a of the result is column match[a] of `codes`, empty where there is no match."""
    have = np.flatnonzero(match >= 0)
    pick = sp.csr_matrix(
        (np.ones(len(have), np.float32), (match[have], have)), (codes.shape[1], len(match))
    )
    return (codes @ pick).tocsr()


def _products(
    pattern: sp.csr_matrix, x: NDArray[np.float32], directions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """x[t] . directions[i] for every stored entry (t, i) of `pattern`, in its data order."""
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    out = np.empty(pattern.nnz, np.float32)
    for s in range(0, pattern.nnz, GATHER):
        piece = slice(s, s + GATHER)
        out[piece] = np.einsum("ij,ij->i", x[rows[piece]], directions[pattern.indices[piece]])
    return out


def _column_sums(matrix: sp.spmatrix, weights: Floats | None) -> Floats:
    matrix = matrix.tocsr()
    weights = matrix.data if weights is None else weights
    return np.bincount(matrix.indices, weights, matrix.shape[1]).astype(np.float64)


def _shifted(codes: sp.csr_matrix, seed: int, start: int) -> sp.csr_matrix:
    """Rows of the chunk turned round by at least a quarter: keeps every latent's own pattern."""
    rows = codes.shape[0]
    if rows < 4:
        return codes[::-1]
    by = int(np.random.default_rng([seed, start]).integers(rows // 4, rows - rows // 4))
    return codes[(np.arange(rows) + by) % rows]


def firing_statistics(codes: CodeReader, block_map: BlockMap) -> tuple[Ints, Floats]:
    """Firing count and mean activation when firing of every latent."""
    counts, sums = np.zeros(codes.d_sae, np.int64), np.zeros(codes.d_sae)
    for count, total in block_map(
        partial(_firing_block, codes=codes), list(codes.chunks()), "firings"
    ):
        counts += count
        sums += total
    return counts, sums / np.maximum(counts, 1)


def _firing_block(chunk: tuple[int, int], codes: CodeReader) -> tuple[Ints, Floats]:
    block = sp.csr_matrix(codes.read(*chunk))
    block.eliminate_zeros()
    count = np.bincount(block.indices, minlength=block.shape[1]).astype(np.int64)
    total = np.bincount(block.indices, block.data, block.shape[1]).astype(np.float64)
    return count, total
