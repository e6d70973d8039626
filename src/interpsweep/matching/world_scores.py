"""The tree of a family against the tree that its world planted: which relation each latent has.

The truth about a latent is read off the planted codes and directions, never off the other
dictionaries' directions, so it shares nothing with the rules of the tree but the counts of firings.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.columns import CHILD
from interpsweep.corpora.world import Planted
from interpsweep.matching.edges import TYPES
from interpsweep.numerics.cosine import unit_rows
from interpsweep.saes import joint
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.codes import Codes
from interpsweep.saes.firing import BlockMap, Firing, firings
from interpsweep.tables import read_json, read_parquet
from interpsweep.worlds.planted import rotation

HELD = 0.5  # F1 with which a latent holds a feature
PURE, ALONG = 0.8, 0.8  # or: share of its firings within the feature's, and cosine with it
SAME = 0.9  # recall relative to the narrow latent's from which a feature survives whole
BESIDE = 0.5  # share of the child's firings on which the parent's latent is on

Floats = NDArray[np.float64]


class Contents(NamedTuple):
    """What the latents of one dictionary hold; arrays over latents unless said otherwise."""

    feature: NDArray[np.int64]  # the planted feature, -1 = none
    f1: Floats
    recall: Floats  # share of the feature's firings on which the latent fires
    pairs: NDArray[np.bool_]  # fires within the firings of two features that are not related
    joint: Floats  # (d_sae, features) rows on which both are on
    fired: Floats  # rows on which the latent is on


class World(NamedTuple):
    """The planted features as scoring sees them."""

    codes: Any  # reader; row i is row i of the activations
    parent: NDArray[np.int64]
    directions: NDArray[np.float32]  # (features, d) as the site sees them

    def ancestors(self, feature: int) -> list[int]:
        """Of a feature, nearest first."""
        found, above = [], int(self.parent[feature])
        while above >= 0:
            found.append(above)
            above = int(self.parent[above])
        return found


def score_tree(
    tree: Path, saes: list[Path], codes: list[Path], corpus: Path, layer: int, ctx: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and confusion of the edges of a tree on a world; `saes` and their `codes` go from
    narrow to wide.
    """
    summary = read_json(tree / "summary.json")
    world = _world(Planted(corpus), layer)
    held = []
    for sae, encoded in zip(saes, codes, strict=True):
        fired = Firing.above(Codes.open(encoded), summary["firing_level"])
        decoder = unit_rows(np.asarray(Dictionary.open(sae).W_dec))
        held.append(holds(fired, decoder, world, ctx.block_map))
    edges = read_parquet(tree / "edges.parquet")
    confusion, scores = score(edges, held, world, summary["min_firings"])
    return scores, confusion


def _world(truth: Planted, layer: int) -> World:
    """The planted features as the site of a layer sees them."""
    turned = rotation(truth.settings.seed, layer, truth.settings.d)
    directions = truth.directions if turned is None else truth.directions @ turned
    return World(truth.codes, truth.features["parent"].to_numpy(np.int64), directions)


def holds(fired: Any, decoder: NDArray[np.float32], world: World, block_map: BlockMap) -> Contents:
    """What every latent of a dictionary holds.

    `fired` reads the codes above the firing level, `decoder` (d_sae, d) has unit rows. A latent
    holds the feature with which its F1 is largest, if that is at least HELD; or if it fires within
    the firings of that feature and along its direction, as a parent does that its children have
    absorbed. One that fires within two features that have nothing to do with each other holds
    neither: it stands for both together.
    """
    work = partial(_on, fired=fired, codes=world.codes)
    (found,) = joint.count(work, fired.chunks(), block_map, "planted features")
    both, count, total = found.both, found.first, found.second
    f1 = 2 * both / np.maximum(count[:, None] + total, 1)
    best = np.argmax(f1, axis=1)
    at = np.arange(len(best))
    precision = both / np.maximum(count, 1)[:, None]
    along = np.einsum("ij,ij->i", decoder, world.directions[best])
    good = (f1[at, best] >= HELD) | ((precision[at, best] >= PURE) & (along >= ALONG))
    pairs = _unrelated(precision >= PURE, world)
    feature = np.where(good & ~pairs & (count > 0), best, -1)
    return Contents(
        feature,
        f1[at, best],
        both[at, best] / np.maximum(total[best], 1),
        pairs,
        both,
        count,
    )


def _on(
    chunk: tuple[int, int], fired: Any, codes: Any
) -> list[tuple[sp.csr_matrix, sp.csr_matrix]]:
    # a world has no marks: its rows, before any are left out, are its tokens
    rows = fired.token(*chunk)
    first, last = int(rows[0]), int(rows[-1]) + 1
    return [(firings(fired.read(*chunk)), firings(codes.read(first, last)[rows - first]))]


def _unrelated(within: NDArray[np.bool_], world: World) -> NDArray[np.bool_]:
    """Whether a latent fires within two features of which none is above the other, (d_sae,)."""
    found = np.zeros(len(within), bool)
    for latent in np.flatnonzero(within.sum(1) >= 2):
        several = np.flatnonzero(within[latent])
        chain = max(([f, *world.ancestors(f)] for f in several.tolist()), key=len)
        found[latent] = not set(several) <= set(chain)
    return found


def true_types(narrow: Contents, wide: Contents, world: World, least: int) -> list[tuple[str, int]]:
    """(true relation, planted feature of the parent or -1) of every wide latent to a narrower
    dictionary.

    A child whose parent feature has a latent beside it in the wide dictionary is absorption where
    that latent is off on the child's firings, else a specialisation; without one, a split.
    """
    above = {int(f): _recall(narrow, int(f)) for f in np.unique(narrow.feature) if f >= 0}
    made = []
    for w, c in enumerate(wide.feature.tolist()):
        if wide.fired[w] < least:
            made.append(("rare", -1))
        elif c < 0:
            made.append(("composition" if wide.pairs[w] else "none", -1))
        elif c in above:
            whole = wide.recall[w] >= SAME * above[c]
            made.append(("identity" if whole else "identity_with_holes", c))
        else:
            parents = [p for p in world.ancestors(c) if p in above]
            kind = _child(w, parents[0], wide) if parents else "novel"
            made.append((kind, parents[0] if parents else -1))
    return made


def _recall(held: Contents, feature: int) -> float:
    mine = held.feature == feature
    return float(held.recall[mine][np.argmax(held.f1[mine])])


def _child(w: int, parent: int, wide: Contents) -> str:
    """How a wide latent relates to its parent feature's latents in its own dictionary."""
    beside = np.flatnonzero(wide.feature == parent)
    if not len(beside):
        return "split"
    best = int(beside[np.argmax(wide.f1[beside])])
    child = int(wide.feature[w])
    on = wide.joint[best, child] / max(wide.joint[:, child].max(), 1)
    return "specialisation" if on >= BESIDE else "absorption"


def score(
    edges: pd.DataFrame, held: list[Contents], world: World, least: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Confusion of types and scores of edges of one family.

    `edges` is the tree's table; `held` what every level holds. Confusion: ``level``, ``truth``,
    ``type``, ``count``. Scores, one row per level (-1 = all) and type (``parent_child`` = any
    child): ``true``, ``found``, ``right``, ``precision``, ``recall``, ``f1``. An edge is right if
    its type is and its narrow latent holds the true parent feature (or, for a parent_child edge,
    any feature above that of the wide latent). Edges over a level in between are scored by
    themselves (``skip``, see `_skipping`).
    """
    primary = edges[edges["primary"] & (edges["step"] == 1)]
    rows = []
    for level, mine in primary.groupby("level"):
        narrow, wide = held[int(level) - 1], held[int(level)]
        truth = true_types(narrow, wide, world, least)
        for edge in mine.itertuples():
            kind, parent = truth[edge.w]
            source = int(narrow.feature[edge.n]) if edge.n >= 0 and edge.related else -1
            child = int(wide.feature[edge.w])
            rows.append(
                {
                    "level": int(level),
                    "truth": kind,
                    "type": edge.type,
                    "unmixed": edge.subtype == "unmixed",
                    "placed": source >= 0 and source == parent,
                    "below": child >= 0 and source in world.ancestors(child),
                }
            )
    table = pd.DataFrame(rows, columns=["level", "truth", "type", "unmixed", "placed", "below"])
    confusion = table.groupby(["level", "truth", "type"]).size().rename("count").reset_index()
    scores = [
        row
        for level in (-1, *sorted(table["level"].unique()))
        for row in _scores(table if level == -1 else table[table["level"] == level], int(level))
    ]
    skipping = edges[edges["primary"] & edges["related"] & (edges["step"] > 1)]
    scores.append(_skipping(skipping, held, world, least))
    return confusion, pd.DataFrame(scores)


def _skipping(
    edges: pd.DataFrame, held: list[Contents], world: World, least: int
) -> dict[str, Any]:
    """Score of all edges over levels in between.

    True are latents of which neither the feature nor one above it has a latent on the next level
    down but one has further below. An edge is right if it hangs from such a latent.
    """
    above = [{int(f) for f in level.feature if f >= 0} for level in held]
    true = 0
    for level in range(2, len(held)):
        lower = set().union(*above[: level - 1])
        for w, c in enumerate(held[level].feature.tolist()):
            line = {c, *world.ancestors(c)} if c >= 0 and held[level].fired[w] >= least else set()
            true += bool(line & lower) and not line & above[level - 1]
    right = 0
    for edge in edges.itertuples():
        source = int(held[int(edge.level) - int(edge.step)].feature[edge.n])
        child = int(held[int(edge.level)].feature[edge.w])
        right += child >= 0 and source in (child, *world.ancestors(child))
    return _row(-1, "skip", true, len(edges), right)


def _scores(table: pd.DataFrame, level: int) -> list[dict[str, Any]]:
    free = table["type"].isin(("composition", "novel"))
    made = []
    for name in (t for t in TYPES if t not in ("rare", "merge", "other")):
        right = (table["type"] == name) & (table["truth"] == name) & (table["placed"] | free)
        made.append(_score(level, name, table["truth"] == name, table["type"] == name, right))
    true, found = table["truth"].isin(CHILD), table["type"].isin(CHILD) & ~table["unmixed"]
    made.append(_score(level, "parent_child", true, found, found & table["below"]))
    return made


def _score(
    level: int, name: str, true: pd.Series, found: pd.Series, right: pd.Series
) -> dict[str, Any]:
    return _row(level, name, int(true.sum()), int(found.sum()), int(right.sum()))


def _row(level: int, name: str, t: int, f: int, r: int) -> dict[str, Any]:
    return {
        "level": level,
        "type": name,
        "true": t,
        "found": f,
        "right": r,
        "precision": r / f if f else np.nan,
        "recall": min(1.0, r / t) if t else np.nan,
        "f1": 2 * r / (t + f) if t + f else np.nan,
    }
