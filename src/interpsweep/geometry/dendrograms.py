"""Does a dendrogram of directions join siblings first? Families of a step against linkage.

Rooted triplets (two siblings and a child of another parent) after the comparison of trees by
triplets; cophenetic correlation after Sokal and Rohlf (Taxon 11, 1962), with "same parent" in
place of the original distances.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from interpsweep.config.analysis import ChildrenSettings
from interpsweep.geometry.nulls import upper_p
from interpsweep.geometry.siblings import Families, Ints, null_children, null_rows

Array = NDArray[np.float64]
SPARE = 4  # rows of a null dictionary per child
_MEASURES = ("triplets", "cophenetic")


class Dendrogram(NamedTuple):
    """Average linkage of directions: number of the merge that joins two rows, and its height, each
    (k, k).
    """

    merge: NDArray[np.int32]
    height: Array


class Labels(NamedTuple):
    """What a dendrogram is asked: triplets (t, 3) of two siblings and a child of another parent,
    and all pairs of siblings (s, 2), as places among the children.
    """

    triplets: Ints
    pairs: Ints


def measure(step: Families, settings: ChildrenSettings) -> dict[str, Any]:
    """A row of `dendrograms.parquet` without the place of the step.

    NaN if no parent has two children, or all children have one parent.
    """
    rng = step.generator(settings.seed, 1)
    child, parent = some(step, settings.children, rng)
    _, sizes = np.unique(parent, return_counts=True)
    facts: dict[str, Any] = {
        "children": len(child),
        "families": int((sizes >= 2).sum()),
        "largest": int(sizes.max(initial=0)),
    }
    if not facts["families"] or len(sizes) < 2:
        return facts
    labels = labelled(parent, settings.triplets, rng)
    tree = dendrogram(step.wide[child])
    own = agreement(tree, labels)
    permuted = np.array(
        [agreement(tree, labels, rng.permutation(len(child))) for _ in range(settings.draws)]
    )
    rows = null_rows(step, SPARE * len(child), rng)
    nulls = [
        agreement(dendrogram(null_children(step, child, parent, rows, rng)), labels)
        for _ in range(settings.null_dictionaries)
    ]
    for name, value, any_, near in zip(_MEASURES, own, permuted.T, np.array(nulls).T, strict=True):
        facts |= {name: value, f"{name}_null": any_.mean(), f"{name}_p": upper_p(value, any_)}
        facts |= {f"{name}_beside": near.mean(), f"{name}_beside_p": upper_p(value, near)}
    return facts


def some(step: Families, most: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """At most `most` children and their parents: all of them, or those of random parents."""
    if len(step.child) <= most:
        return step.child, step.parent
    parents = np.unique(step.parent)
    place = np.argsort(rng.permutation(len(parents)))[np.searchsorted(parents, step.parent)]
    rows = np.sort(np.argsort(place, kind="stable")[:most])
    return step.child[rows], step.parent[rows]


def dendrogram(rows: NDArray[np.floating]) -> Dendrogram:
    """Average linkage on 1 - cosine of unit rows (k, d), k at least 2."""
    unit = np.asarray(rows, np.float64)
    distance = np.clip(1 - unit @ unit.T, 0, 2)
    merges = linkage(distance[np.triu_indices(len(unit), 1)], "average")
    order = merges.copy()
    order[:, 2] = np.arange(1, len(merges) + 1)  # equal heights are still one merge after another
    return Dendrogram(squareform(cophenet(order)).astype(np.int32), squareform(cophenet(merges)))


def labelled(parent: Ints, count: int, rng: np.random.Generator) -> Labels:
    """`count` random triplets and all pairs of siblings of children with parents (k,), sorted.

    A triplet is drawn by parent, then two of its children, then any child of another: every family
    counts alike, however large.
    """
    _, start, size = np.unique(parent, return_index=True, return_counts=True)
    drawn = rng.choice(np.flatnonzero(size >= 2), count)
    first = rng.integers(size[drawn])
    second = rng.integers(size[drawn] - 1)
    second += second >= first
    other = rng.integers(len(parent) - size[drawn])
    other += np.where(other >= start[drawn], size[drawn], 0)
    triplets = np.column_stack([start[drawn] + first, start[drawn] + second, other])
    pairs = [a + np.column_stack(np.triu_indices(n, 1)) for a, n in zip(start, size, strict=True)]
    return Labels(triplets, np.concatenate(pairs))


def agreement(
    tree: Dendrogram, labels: Labels, order: NDArray[np.integer] | None = None
) -> tuple[float, float]:
    """Share of the triplets whose siblings are joined first, and the correlation over all pairs of
    children of having one parent with lying low; `order` (k,) deals the labels out anew.

    By chance 1/3 and 0.
    """
    triplets, pairs = labels if order is None else (order[labels.triplets], order[labels.pairs])
    a, b, c = triplets.T
    joined = float(np.mean(tree.merge[a, b] < tree.merge[a, c]))
    k = len(tree.height)
    every = k * (k - 1) // 2
    mean = tree.height.sum() / (2 * every)  # the diagonal is 0
    spread = np.sqrt(max(float(np.sum(tree.height**2)) / (2 * every) - mean**2, 0.0))
    share = len(pairs) / every
    low = mean - tree.height[pairs[:, 0], pairs[:, 1]].mean()
    return joined, float(low / max(spread, 1e-300) * np.sqrt(share / (1 - share)))
