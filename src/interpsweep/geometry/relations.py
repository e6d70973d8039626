"""Relations between labelled concepts at one site: do the values of one stand to those of the other
in the same way throughout?

A value's point is the mean of its *own* tokens, those that carry no value of a concept below it.
Where a sparrow is also a bird, the mean of all birds is partly that of sparrows: the two would be
near each other, and the offsets of a bird's children would sum to nearly nothing, whatever the
model does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from interpsweep.errors import UserError
from interpsweep.geometry import analogies
from interpsweep.geometry.class_means import Moments
from interpsweep.geometry.tokens import Tokens

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
LEAST = 3  # parents of a relation that can be tested
WORLDS = 1999  # most worlds of one null: all questions are asked in each of them


class Relation(NamedTuple):
    """Two concepts, and the value of the parent concept that each value of the child has."""

    child: str
    parent: str
    kind: str  # tree; or tuned, or pair: value i of one belongs to value i of the other
    parent_of: Ints
    turns: Ints | None  # (T, k) orders of a tuned concept's values that keep its shape


class Points(NamedTuple):
    """Values with enough own tokens, and the means of these, (k, d)."""

    values: Ints
    means: Array


def declared(concepts: dict[str, Any], truth: dict[str, Any] | None) -> list[Relation]:
    """The relations that a corpus declares: parents in a taxonomy, pairs such as country and
    capital, and words tuned to as many values in the same order.
    """
    made = []
    for name, concept in concepts.items():
        if concept.get("parent") and concept.get("parent_of") is not None:
            parent_of = np.asarray(concept["parent_of"], np.int64)
            made.append(Relation(name, concept["parent"], "tree", parent_of, None))
        if partner := concept.get("pair_of"):
            same = np.arange(len(concepts[partner]["values"]))
            made.append(Relation(name, partner, "pair", same, None))
    for name, tuning in ((truth or {}).get("tuning") or {}).items():
        count, shape = len(concepts[name]["values"]), concepts[name]["shape"]
        if count == len(concepts[tuning["around"]]["values"]):
            same = np.arange(count)
            made.append(Relation(name, tuning["around"], "tuned", same, turns(shape, count)))
    return made


def turns(shape: str, count: int) -> Ints:
    """The orders of values on a circle or a line that keep them in order, (2 k, k) or (2, k)."""
    steps = count if shape == "circle" else 1
    ahead = (np.arange(count) + np.arange(steps)[:, None]) % count
    return np.vstack([ahead, ahead[:, ::-1]])


def own_points(
    found: dict[str, Moments], relations: list[Relation], tokens: Tokens, least: int
) -> dict[str, Points]:
    """Of every concept, the means of the values with at least `least` tokens of their own.

    Raises UserError if a token of a child value is not labelled with that value's parent.
    """
    made = {}
    for name, moments in found.items():
        count, sums = moments.counts.sum(axis=0), moments.sums.sum(axis=0)
        for below in relations:
            if below.parent == name and below.kind == "tree":
                _nested(below, tokens)
                np.subtract.at(count, below.parent_of, found[below.child].counts.sum(axis=0))
                np.subtract.at(sums, below.parent_of, found[below.child].sums.sum(axis=0))
        values = np.flatnonzero(count >= least)
        made[name] = Points(values, sums[values] / count[values, None])
    return made


def _nested(relation: Relation, tokens: Tokens) -> None:
    child, parent = tokens.label(relation.child), tokens.label(relation.parent)
    here = child >= 0
    wrong = int(np.sum(relation.parent_of[child[here]] != parent[here]))
    if wrong:
        raise UserError(
            f"concepts: {wrong} tokens labelled {relation.child} are not labelled with the parent "
            f"of their value in {relation.parent}; label them with both, or leave the parents out"
        )


def table(
    points: dict[str, Points], relations: list[Relation], draws: int, seed: int
) -> list[dict[str, Any]]:
    """Rows of `relations.parquet`, raw and whitened: every relation with own tokens of at least
    three parents, and of all of them if they have an order.
    """
    spaces = {"raw": points, "whitened": whitened(points)}
    rows = []
    for relation in relations:
        for space, here in spaces.items():
            family = joined(relation, here)
            if len(family.parents) < LEAST or not complete(relation, family):
                continue
            rng = np.random.default_rng(seed)
            facts = analogies.measure(family, min(draws, WORLDS), rng, relation.turns)
            if relation.kind != "tree":  # a value is no instance of what it is tuned to
                orthogonality = (name for name in facts if name.startswith("orthogonality"))
                facts |= dict.fromkeys(list(orthogonality), np.nan)
            rows.append(
                {
                    **{"child": relation.child, "parent": relation.parent, "space": space},
                    **{"kind": relation.kind, "children": len(family.children)},
                    **{"parents": len(family.parents), **facts},
                }
            )
    return rows


def complete(relation: Relation, family: analogies.Family) -> bool:
    """Whether the parents can be turned: all values are there, where their order counts."""
    return relation.turns is None or len(family.parents) == relation.turns.shape[1]


def joined(relation: Relation, points: dict[str, Points]) -> analogies.Family:
    """Children and parents that both have a point; no parent is without a child."""
    below, above = points[relation.child], points[relation.parent]
    parent = relation.parent_of[below.values]
    kept = np.isin(parent, above.values)
    values, row = np.unique(parent[kept], return_inverse=True)
    return analogies.Family(
        above.means[np.searchsorted(above.values, values)], below.means[kept], row.astype(np.int64)
    )


def whitened(points: dict[str, Points]) -> dict[str, Points]:
    """The points in coordinates in which all values of all concepts are uncorrelated.

    As in Park et al. 2024 (section 3), whose points are the words of the vocabulary, but with the
    covariance of Ledoit and Wolf (2004): there are few values for the number of dimensions.
    """
    together = np.vstack([mine.means for mine in points.values()])
    if len(together) < 2:
        return points
    values, axes = np.linalg.eigh(ledoit_wolf(together)[0])
    root = np.sqrt(np.maximum(values, values[-1] * 1e-9))
    map_ = (axes / np.where(root > 0, root, 1.0)) @ axes.T
    return {name: mine._replace(means=mine.means @ map_) for name, mine in points.items()}
