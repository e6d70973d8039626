"""Everything that is counted about chosen pairs of latents, in one pass over the tokens."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.compiled import compiled, dot
from interpsweep.errors import UserError
from interpsweep.saes.firing import BlockMap, Firing

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

STRIPE_ROWS = 8192  # fewest rows that one worker sums up before it hands its sums over


@dataclass
class Sums:
    """Sums over tokens. Pair fields have one entry per pair (a, b), latent fields one per latent.

    ``match`` is i(a), the mutual neighbour of a in dictionary b; a "hole" is a token on which a
    fires and its match is silent.
    """

    n_ab: Any
    n_ab_shifted: Any
    n_documents: Any  # documents in which a and b fire on one token
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

    def __iadd__(self, other: Sums) -> Sums:
        for field in fields(self):
            total = getattr(self, field.name)
            total += getattr(other, field.name)
        return self


# the leading fields of `Sums`, one entry per pair: columns of what a stripe sums up
(
    N_AB, N_AB_SHIFTED, N_DOCUMENTS, A_WITH_B, B_WITH_A, N_MATCH_B, MATCH_WITH_B, N_MATCH_AB,
    MATCH_WITH_AB, N_HOLE_B, HOLE_B, HOLE_PROJECTION,
) = range(12)  # fmt: skip
PAIR_FIELDS = 12


@dataclass(frozen=True)
class PairWork:
    """What a stripe of rows needs besides its tokens. Pairs are sorted by a, then b."""

    a: Firing
    b: Firing
    activations: Any  # `activations.artifact.Activations`
    first_row: int  # row of the activations where the codes begin
    documents: NDArray[np.int32]  # (n_rows,) document of each row
    pair_a: Ints
    pair_b: Ints
    match: Ints  # (n_a,) i(a) or -1
    decoder_a: Vectors  # (n_a, d) unit rows
    decoder_b: Vectors
    bias_a: Vectors
    bias_b: Vectors
    seed: int


def pair_sums(work: PairWork, block_map: BlockMap) -> Sums:
    """All sums of `Sums` over all tokens, in one pass.

    Firings and their activations are those above the floor; what is added to a reconstruction, and
    the reconstruction itself, are all codes.
    """
    total: Sums | None = None
    blocks = stripes(work.documents, max(STRIPE_ROWS, len(work.pair_a) // 8))
    for part in block_map(partial(_stripe_sums, work), blocks, "matching"):
        if total is None:
            total = part
        else:
            total += part
    if total is None:
        raise UserError("the codes hold no tokens; check the analysis split of the corpus")
    return total


def stripes(documents: NDArray[np.int32], rows: int) -> list[tuple[int, int]]:
    """Pieces of about `rows` rows that never cut a document."""
    cuts = [0]
    for begin in np.flatnonzero(np.diff(documents) != 0) + 1:
        if begin - cuts[-1] >= rows:
            cuts.append(int(begin))
    return [(s, e) for s, e in zip(cuts, [*cuts[1:], len(documents)], strict=True) if s < e]


def _stripe_sums(work: PairWork, stripe: tuple[int, int]) -> Sums:
    order = np.lexsort((work.pair_a, work.pair_b))
    n_a, n_b = len(work.decoder_a), len(work.decoder_b)
    starts = np.searchsorted(work.pair_b[order], np.arange(n_b + 1))
    # one row of sums per pair keeps what belongs together in one cache line
    table = np.zeros((len(order), PAIR_FIELDS))
    last_document = np.full(len(order), -1, np.int32)
    sums_a, added, error = np.zeros((n_a, 2)), np.zeros(n_b), 0.0
    for chunk in work.a.chunks():
        start, stop = max(chunk[0], stripe[0]), min(chunk[1], stripe[1])
        if start >= stop:
            continue
        a, b = (_sorted(side.codes.read(start, stop)) for side in (work.a, work.b))
        x = work.activations.read(work.first_row + start, work.first_row + stop)
        residual = x - (np.asarray(a @ work.decoder_a) + work.bias_a)
        error += float(np.sum(residual.astype(np.float64) ** 2))
        _add_gains(b.indptr, b.indices, b.data, residual, work.decoder_b, added)
        _count_pairs(
            *(a.indptr, a.indices, a.data, work.a.floor, b.indptr, b.indices, b.data, work.b.floor),
            *(x - work.bias_b, work.decoder_a, work.match, starts, work.pair_a[order]),
            *(work.documents[start:stop], _turn(stop - start, work.seed, start)),
            *(table, last_document, sums_a),
        )
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    of_pairs = np.ascontiguousarray(table[back].T)
    whole = (np.array([error]), np.array([stripe[1] - stripe[0]], np.float64))
    return Sums(*[*of_pairs, *np.ascontiguousarray(sums_a.T), added, *whole])


def _sorted(codes: sp.spmatrix) -> sp.csr_matrix:
    made = sp.csr_matrix(codes, dtype=np.float32)
    made.sort_indices()
    return made


def _turn(rows: int, seed: int, start: int) -> int:
    """By how many rows a piece is turned round: at least a quarter, to keep the latents' runs."""
    if rows < 4:
        return rows // 2
    return int(np.random.default_rng([seed, start]).integers(rows // 4, rows - rows // 4))


@compiled
def _add_gains(
    ptr: Ints, index: Ints, value: Vectors, residual: Vectors, decoder: Vectors, added: Floats
) -> None:
    """added[b] += what adding latent b alone changes in the squared error."""
    for row in range(len(ptr) - 1):
        for e in range(ptr[row], ptr[row + 1]):
            size = np.float64(value[e])
            gain = size * size - 2 * size * np.float64(dot(residual[row], decoder[index[e]]))
            added[index[e]] += gain


@compiled
def _count_pairs(
    ptr_a: Ints, index_a: Ints, value_a: Vectors, floor_a: Floats,
    ptr_b: Ints, index_b: Ints, value_b: Vectors, floor_b: Floats,
    x: Vectors, decoder_a: Vectors, match: Ints, starts: Ints, of_b: Ints,
    documents: NDArray[np.int32], turn: int,
    table: Floats, last_document: NDArray[np.int32], sums_a: Floats,
) -> None:  # fmt: skip
    """Add a piece of rows to the sums; pairs of latent b are starts[b]:starts[b + 1]."""
    rows = len(ptr_a) - 1
    here_a, here_b = np.full(len(match), -1, np.int64), np.full(len(starts), -1, np.int64)
    strength_a = np.zeros(len(match))
    strength_b = np.zeros(len(starts))
    projection = np.zeros(len(match))
    for row in range(rows):
        for e in range(ptr_b[row], ptr_b[row + 1]):
            if value_b[e] > floor_b[index_b[e]]:
                here_b[index_b[e]] = row
                strength_b[index_b[e]] = value_b[e]
        for e in range(ptr_a[row], ptr_a[row + 1]):
            a = index_a[e]
            if value_a[e] > floor_a[a]:
                here_a[a] = row
                strength_a[a] = value_a[e]
                i = match[a]
                if i >= 0 and here_b[i] == row:
                    sums_a[a, 0] += 1
                    sums_a[a, 1] += strength_b[i]
                else:
                    projection[a] = dot(x[row], decoder_a[a])
        for e in range(ptr_b[row], ptr_b[row + 1]):
            b = index_b[e]
            if here_b[b] != row:
                continue
            for p in range(starts[b], starts[b + 1]):
                a = of_b[p]
                i = match[a]
                matched = i >= 0 and here_b[i] == row
                if matched:
                    table[p, N_MATCH_B] += 1
                    table[p, MATCH_WITH_B] += strength_b[i]
                if here_a[a] != row:
                    continue
                table[p, N_AB] += 1
                table[p, A_WITH_B] += strength_a[a]
                table[p, B_WITH_A] += strength_b[b]
                if last_document[p] != documents[row]:
                    last_document[p] = documents[row]
                    table[p, N_DOCUMENTS] += 1
                if matched:
                    table[p, N_MATCH_AB] += 1
                    table[p, MATCH_WITH_AB] += strength_b[i]
                else:
                    table[p, N_HOLE_B] += 1
                    table[p, HOLE_B] += strength_b[b]
                    table[p, HOLE_PROJECTION] += projection[a]
        other = (row + turn) % rows
        for e in range(ptr_b[other], ptr_b[other + 1]):
            b = index_b[e]
            if value_b[e] > floor_b[b]:
                for p in range(starts[b], starts[b + 1]):
                    table[p, N_AB_SHIFTED] += here_a[of_b[p]] == row
