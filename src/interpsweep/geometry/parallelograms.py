"""Do siblings differ the same way in different families? Parallelograms of children.

The analogy a - b = c - d of Mikolov et al. (NAACL 2013), asked of families: the difference of two
siblings against those of all other families.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpsweep.config.analysis import ChildrenSettings
from interpsweep.geometry.nulls import upper_p
from interpsweep.geometry.siblings import Families, Ints, Unit

Array = NDArray[np.float64]
PAIRS = 4  # most pairs of siblings taken of one family
POOL = 1 << 17  # random pairs of wide latents among which some have the cosine of siblings
TRIES = 50  # to find random pairs that share no latent
NEAR = 64  # of them, the nearest by cosine that a pair of siblings is exchanged for
QUANTILE = 0.95


def measure(step: Families, settings: ChildrenSettings) -> dict[str, Any]:
    """A row of `parallelograms.parquet` without the place of the step.

    NaN if fewer than two parents have two children.
    """
    rng = step.generator(settings.seed, 2)
    family, pairs = siblings(step, settings.children // 2, rng)
    facts: dict[str, Any] = {"families": len(np.unique(family)), "pairs": len(pairs)}
    if facts["families"] < 2:
        return facts
    own = scores(step.wide, pairs, family)
    known, cosine = random_pairs(step, rng)
    wanted = _cosines(step.wide, pairs)
    near = nearest(cosine, wanted, NEAR)
    drawn = np.empty((settings.draws, len(pairs)))
    for draw in drawn:
        draw[:] = scores(step.wide, exchanged(known, near, rng), family)
    level = np.quantile(np.vstack([own, drawn]), QUANTILE)
    above, null_above = float(np.mean(own > level)), np.mean(drawn > level, axis=1)
    return facts | {
        "score": own.mean(),
        "score_null": drawn.mean(),
        "score_p": upper_p(own.mean(), drawn.mean(axis=1)),
        "above": above,
        "above_p": upper_p(above, null_above),
        "cosine": wanted.mean(),
        "cosine_null": cosine[near].mean(),
    }


def siblings(step: Families, most: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Parents (p,) and pairs of their children (p, 2), no latent twice: `PAIRS` of a parent at
    most, and `most` in all.
    """
    parents, pairs = [], []
    for parent, children in step.members().items():
        dealt = rng.permutation(children)[: 2 * PAIRS]
        mine = dealt[: len(dealt) // 2 * 2].reshape(-1, 2)
        parents.append(np.full(len(mine), parent))
        pairs.append(mine)
    if not pairs:
        return np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
    family, found = np.concatenate(parents), np.concatenate(pairs)
    kept = np.sort(rng.permutation(len(found))[:most])
    return family[kept], found[kept]


def random_pairs(step: Families, rng: np.random.Generator) -> tuple[Ints, Array]:
    """Pairs of wide latents that are not rare and no siblings, (m, 2), and their cosines, rising;
    all of them, or `POOL` random ones.
    """
    alive = step.alive
    if len(alive) ** 2 <= 2 * POOL:
        places = np.column_stack(np.triu_indices(len(alive), 1))
    else:
        places = rng.integers(len(alive), size=(POOL, 2))
    found = alive[places]
    parent = np.full(len(step.wide), -1)
    parent[step.child] = step.parent
    above = parent[found]
    apart = (found[:, 0] != found[:, 1]) & ((above[:, 0] != above[:, 1]) | (above[:, 0] < 0))
    found = found[apart]
    cosine = _cosines(step.wide, found)
    order = np.argsort(cosine, kind="stable")
    return found[order], cosine[order]


def nearest(values: Array, wanted: Array, count: int) -> Ints:
    """Places (p, count) of the values (m,), rising, that are nearest to each of the wanted (p,)."""
    count = min(count, len(values))
    # of the windows of this many values, the one whose ends are equally far is the nearest
    first = np.clip(np.searchsorted(values, wanted) - count, 0, len(values) - count)
    for row, want in enumerate(wanted):
        at = first[row]
        while at + count < len(values) and values[at + count] - want < want - values[at]:
            at += 1
        first[row] = at
    return first[:, None] + np.arange(count)


def exchanged(known: Ints, near: Ints, rng: np.random.Generator) -> Ints:
    """For each pair of siblings one of the `known` pairs (m, 2) whose places (p, count) are `near`,
    (p, 2): at random, and drawn again, up to `TRIES` times, where a latent is in an earlier pair.
    """
    again = np.arange(len(near))
    made = np.empty((len(near), 2), np.int64)
    for _ in range(TRIES):
        made[again] = known[near[again, rng.integers(near.shape[1], size=len(again))]]
        first = np.zeros(made.size, bool)
        first[np.unique(made, return_index=True)[1]] = True
        again = np.flatnonzero(~first.reshape(made.shape).all(axis=1))
        if not len(again):
            break
    return made


def scores(wide: Unit, pairs: Ints, family: Ints) -> Array:
    """Largest |cosine| of the difference of each pair (p, 2) of rows of `wide` with that of a pair
    of another family (p,) that shares no latent with it, (p,); 0 without such a pair.
    """
    rows = wide[pairs[:, 0]] - wide[pairs[:, 1]]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    alike = np.abs(rows @ rows.T)
    same = family[:, None] == family
    for end in (0, 1):
        for other in (0, 1):
            same |= pairs[:, end][:, None] == pairs[:, other]
    alike[same] = 0
    return alike.max(axis=1).astype(np.float64)


def _cosines(wide: Unit, pairs: Ints) -> Array:
    return np.einsum("ij,ij->i", wide[pairs[:, 0]], wide[pairs[:, 1]]).astype(np.float64)
