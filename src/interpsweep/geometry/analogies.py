"""Do children differ from their parents the same way everywhere? Parallelism, analogies and
orthogonality of given pairs of points, and their nulls.

Parallelism and analogies are judged by two nulls, and p is the larger of the two p. *Shuffled*: the
parents are dealt out to the families anew. Points that have nothing to do with each other except
that all children lie in one direction from all parents are as parallel then. *Reflected*: families
are mirrored at their parents. Children that are near their parents, wherever the rest points, are
as near then, and as parallel. Families stay together in both, so that siblings may be alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations, product
from math import factorial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.compiled import compiled
from interpsweep.geometry.nulls import counted_p
from interpsweep.vectors import unit_length

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


class Family(NamedTuple):
    """Points of children and of their parents."""

    parents: Array  # (P, d), each of them has a child
    children: Array  # (n, d)
    parent: Ints  # (n,) row of every child's parent


class Scores(NamedTuple):
    """Statistics of a family; definitions in docs/methods.md."""

    parallel: float
    siblings: float
    add: float
    add_open: float
    mul: float
    nearest: float
    given: float
    orthogonality: float

    @property
    def gain(self) -> float:
        """What the offset adds to the better of the two words alone."""
        return self.add - max(self.nearest, self.given)


class Null(NamedTuple):
    """Scores of other worlds, and whether these are all there are, the observed one among them."""

    scores: list[Scores]
    exact: bool

    def mean(self, name: str) -> float:
        """Mean of one statistic; NaN where it is not defined."""
        return float(np.mean([getattr(score, name) for score in self.scores]))

    def floor(self, alike: int = 1) -> float:
        """Smallest p, where so many of all worlds have the same statistic."""
        return alike / len(self.scores) if self.exact else 1 / (1 + len(self.scores))

    def p(self, observed: float, name: str, size: Callable[[Array], Array] | None = None) -> float:
        """Share of worlds with at least the observed statistic, the observed one counted.

        By `size` of the statistic if given. NaN where the statistic is not defined.
        """
        values = np.array([observed] + [getattr(score, name) for score in self.scores])
        if np.isnan(observed):
            return float("nan")
        values = size(values) if size else values
        return counted_p(values[0], values[1:], self.exact)


def measure(
    family: Family, draws: int, rng: np.random.Generator, turns: Ints | None = None
) -> dict[str, Any]:
    """All statistics of a family with their nulls; the columns of `relations.parquet` from
    `questions` on. Needs three parents, each of them with a child.

    Worlds are counted if there are at most `draws`, else `draws` are drawn. Parents that have an
    order are dealt out in the given `turns` (T, P), the identity among them, not in all orders:
    points that follow each other smoothly are no P independent pairs.
    """
    family = compact(family)
    own, p = score(family, every=True), {}
    shuffled = shuffles(family, draws, rng, turns)
    reflected = reflections(family, draws, rng)
    facts: dict[str, Any] = {
        "questions": questions(family.parent),
        "shuffles": len(shuffled.scores),
        "reflections": len(reflected.scores),
    }
    for name in ("parallel", "gain"):
        p[name] = max(null.p(getattr(own, name), name) for null in (shuffled, reflected))
    p["siblings"] = shuffled.p(own.siblings, "siblings")
    for name in ("parallel", "siblings", "add", "gain", "orthogonality"):
        facts[name] = getattr(own, name)
        facts[f"{name}_shuffled"] = shuffled.mean(name)
    facts |= {f"{name}_reflected": reflected.mean(name) for name in ("parallel", "add", "gain")}
    facts |= {name: getattr(own, name) for name in ("add_open", "mul", "nearest", "given")}
    facts |= {f"{name}_p": value for name, value in p.items()}
    # offsets are as parallel with all families mirrored at once
    facts["p_floor"] = max(shuffled.floor(), reflected.floor(2))
    facts["orthogonality_p"] = shuffled.p(own.orthogonality, "orthogonality", lambda x: -np.abs(x))
    return facts


def questions(parent: Ints) -> int:
    """Pairs of children (a, c) of different parents: as a is to its parent, c is to whom?"""
    return int(len(parent) ** 2 - np.sum(np.bincount(parent) ** 2))


def compact(family: Family) -> Family:
    """The same points by coordinates in the space that they span, centred."""
    points = np.vstack([family.parents, family.children]).astype(np.float64)
    u, s, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    points = u * s
    first = len(family.parents)
    return Family(points[:first], points[first:], family.parent.astype(np.int64))


def shuffles(
    family: Family, draws: int, rng: np.random.Generator, turns: Ints | None = None
) -> Null:
    """Worlds in which the parents are dealt out to the families anew, in all orders or `turns`."""
    count = len(family.parents)
    exact = turns is not None or factorial(count) <= draws
    orders: Iterator[Any]
    if turns is not None:
        orders = iter(turns)
    elif exact:
        orders = permutations(range(count))
    else:
        orders = (rng.permutation(count) for _ in range(draws))
    worlds = (family._replace(parents=family.parents[list(order)]) for order in orders)
    return Null([score(world) for world in worlds], exact)


def reflections(family: Family, draws: int, rng: np.random.Generator) -> Null:
    """Worlds in which each family is mirrored at its parent or is not."""
    count = len(family.parents)
    exact = 2**count <= draws
    signs: Iterator[Any] = (
        product((1, -1), repeat=count)
        if exact
        else (rng.choice((1, -1), count) for _ in range(draws))
    )
    offsets = family.children - family.parents[family.parent]
    made = []
    for sign in signs:
        turned = np.asarray(sign)[family.parent, None] * offsets
        children = family.parents[family.parent] + turned
        made.append(score(family._replace(children=children)))
    return Null(made, exact)


def score(family: Family, every: bool = False) -> Scores:
    """The statistics of one world; without `every`, `add_open` and `mul` are left at 0."""
    parents, children, parent = family
    many, n = len(parents), len(children)
    offsets = children - parents[parent]
    unit = unit_length(offsets)
    sums = np.zeros((many, unit.shape[1]))
    np.add.at(sums, parent, unit)
    within = float(np.sum(sums**2))
    pairs = questions(parent)
    together = n * n - n - pairs
    points = np.vstack([parents, children])
    points = unit_length(points - points.mean(axis=0))
    right = _answers(points @ points.T, parent, many, every) / max(pairs, 1)
    add, add_open, mul, nearest, given = (float(share) for share in right)
    above = unit_length(parents - parents.mean(axis=0))[parent]
    return Scores(
        parallel=(float(np.sum(sums.sum(axis=0) ** 2)) - within) / max(pairs, 1),
        siblings=(within - n) / together if together else float("nan"),
        add=add,
        add_open=add_open,
        mul=mul,
        nearest=nearest,
        given=given,
        orthogonality=float(np.mean(np.sum(above * unit, axis=1))),
    )


@compiled
def _answers(cosine: Array, parent: Ints, many: int, every: bool) -> Array:
    """Right answers to all questions a : b = c : ?, (5,): 3CosAdd, the same with a, b and c among
    the candidates, 3CosMul, the nearest to c, the nearest to b.

    cosine (m, m) of all points, the `many` parents first; a and c are children, b is the parent of
    a, and the parent of c is sought among all points but a, b and c. Without `every` the second
    and third are left out.
    """
    right = np.zeros(5)
    for i in range(len(parent)):
        a, b = many + i, parent[i]
        for j in range(len(parent)):
            c, goal = many + j, parent[j]
            if goal == b:
                continue
            best = np.full(5, -np.inf)
            found = np.full(5, -1)
            for d in range(len(cosine)):
                to_a, to_b, to_c = cosine[a, d], cosine[b, d], cosine[c, d]
                total = to_b - to_a + to_c
                if every and total > best[1]:
                    best[1], found[1] = total, d
                if d in (a, b, c):
                    continue
                if total > best[0]:
                    best[0], found[0] = total, d
                if to_c > best[3]:
                    best[3], found[3] = to_c, d
                if to_b > best[4]:
                    best[4], found[4] = to_b, d
                if every:  # cosines moved to 0 .. 1 (Levy and Goldberg 2014, section 6)
                    ratio = (1 + to_b) * (1 + to_c) / (1 + to_a + 0.002)
                    if ratio > best[2]:
                        best[2], found[2] = ratio, d
            for k in range(5):
                right[k] += found[k] == goal
    return right
