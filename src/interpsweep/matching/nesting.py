"""Labelled values that are kinds of another one, against the latents that hold them: which fire
together, and which hangs below which in the tree.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.columns import NESTED, STANDS_FOR
from interpsweep.errors import UserError
from interpsweep.saes import joint
from interpsweep.saes.firing import exceeding, firings
from interpsweep.tables import typed

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Step(NamedTuple):
    """One SAE of a family: its latents, its codes, and the best latent of every labelled value."""

    d_sae: int
    codes: Any
    values: pd.DataFrame  # `values.parquet` of its recovery


def pairs(concepts: dict[str, Any], ladder: list[Step], ctx: Any) -> pd.DataFrame:
    """`nested.parquet`: a value of a nested concept in one SAE, and a value of the concept above it
    in the same SAE or a narrower one, with P(latent of the latter on | latent of the former on).

    `ladder` goes from narrow to wide. A latent that is best for several values is on above the
    lowest of its thresholds. Pairs that are not planted and never fire together are left out; NaN
    of a latent with itself.
    """
    nested = [name for name, concept in concepts.items() if concept["shape"] == "tree"]
    held = [step.values[step.values["concept"].isin(nested)] for step in ladder]
    floors = [mine.groupby("feature")["threshold"].min() for mine in held]
    below = [name for name in nested if len(planted_pairs(name, concepts))]
    if not below:
        return typed([], NESTED)
    latents = [floor.index.to_numpy(np.int64) for floor in floors]
    together = cofiring([s.codes for s in ladder], latents, [f.to_numpy() for f in floors], ctx)
    first = np.cumsum([0, *map(len, latents)])
    parts = []
    for name in below:
        planted = planted_pairs(name, concepts)[:, 0]
        for wide, own in enumerate(ladder):
            children = _of(own, name)
            column = first[wide] + np.searchsorted(latents[wide], children["feature"])
            for narrow, other in enumerate(ladder[: wide + 1]):
                parents = _of(other, concepts[name]["parent"])
                row = first[narrow] + np.searchsorted(latents[narrow], parents["feature"])
                p, c = (place.ravel() for place in np.indices((len(row), len(column))))
                found = np.where(row[p] == column[c], np.nan, together[row[p], column[c]])
                true = planted[children["value"].to_numpy()[c]] == parents["value"].to_numpy()[p]
                kept = true | (found > 0)
                p, c = p[kept], c[kept]
                part = {
                    "d_sae": own.d_sae,
                    "concept": name,
                    "parent_value": parents["value"].to_numpy()[p],
                    "value": children["value"].to_numpy()[c],
                    "planted": true[kept],
                    "d_parent": other.d_sae,
                    "parent_feature": parents["feature"].to_numpy()[p],
                    "feature": children["feature"].to_numpy()[c],
                    "parent_f1": parents["f1"].to_numpy()[p],
                    "f1": children["f1"].to_numpy()[c],
                    "cofiring": found[kept],
                }
                parts.append(pd.DataFrame(part))
    return typed(pd.concat(parts), NESTED)


def _of(step: Step, concept: str) -> pd.DataFrame:
    return step.values[step.values["concept"] == concept]


def planted_pairs(name: str, concepts: dict[str, Any]) -> Ints:
    """(parent value, child value) of every value of a nested concept, (n, 2), by child value."""
    concept = concepts[name]
    if not concept.get("parent") or concept.get("parent_of") is None:
        return np.zeros((0, 2), np.int64)
    parent = np.asarray(concept["parent_of"], np.int64)
    return np.column_stack([parent, np.arange(len(parent))])


def cofiring(codes: list[Any], latents: list[Ints], thresholds: list[Floats], ctx: Any) -> Floats:
    """P(row latent on | column latent on) for latents of several SAEs on the same tokens.

    Rows and columns are the given latents (m_0 + ... + m_l) of all SAEs one after the other;
    `latents` and `thresholds` (m_i,) go with the `codes` of each SAE.
    """
    rows = {(one.rows, one.n_rows) for one in codes if hasattr(one, "rows")}
    if len(rows) > 1:
        raise UserError("codes of one family are of different tokens: have them made again")
    work = partial(_on, codes=codes, latents=latents, thresholds=thresholds)
    (found,) = joint.count(work, codes[-1].chunks(), ctx.block_map, "co-firing")
    return found.both / np.maximum(found.second, 1)


def _on(
    chunk: tuple[int, int], codes: list[Any], latents: list[Ints], thresholds: list[Floats]
) -> list[tuple[sp.csr_matrix, sp.csr_matrix]]:
    on = sp.hstack(
        [
            firings(exceeding(sp.csr_matrix(one.read(*chunk))[:, mine], floor))
            for one, mine, floor in zip(codes, latents, thresholds, strict=True)
        ],
        format="csr",
    )
    return [(on, on)]


def edges(
    concepts: dict[str, Any], ladder: list[Step], nodes: pd.DataFrame
) -> list[dict[str, Any]]:
    """Rows of `value_edges.parquet`: planted pairs of values against the tree, by nested concept.

    A pair is found if it has a latent of the child below one of the parent. A latent stands for the
    value it is best for from an F1 of a half up, as latents of planted worlds do: what is judged
    here is how latents hang together, not how pure they are.
    """
    parent_of = dict(zip(nodes["node"], nodes["parent"], strict=True))
    levels = {int(d): int(level) for level, d in nodes.groupby("level")["d_sae"].first().items()}
    stands: dict[tuple[str, int], set[str]] = {}
    for step in ladder:
        held = step.values[step.values["f1"] >= STANDS_FOR]
        for row in held.itertuples() if step.d_sae in levels else ():
            node = f"{levels[step.d_sae]}:{row.feature}"
            stands.setdefault((row.concept, row.value), set()).add(node)
    made = []
    for name in concepts:
        planted = {(int(p), int(c)) for p, c in planted_pairs(name, concepts)}
        if not planted:
            continue
        above, found = concepts[name]["parent"], set()
        for c in range(len(concepts[name]["values"])):
            over = set().union(*(_ancestors(n, parent_of) for n in stands.get((name, c), ())))
            every = range(len(concepts[above]["values"]))
            found |= {(p, c) for p in every if stands.get((above, p), set()) & over}
        right = len(found & planted)
        made.append(
            {
                "concept": name,
                "edge_precision": right / len(found) if found else np.nan,
                "edge_recall": right / len(planted),
                "edge_f1": 2 * right / (len(found) + len(planted)),
            }
        )
    return made


def _ancestors(node: str, parent_of: dict[str, str]) -> set[str]:
    found, here = set(), parent_of.get(node, "")
    while here:
        found.add(here)
        here = parent_of.get(here, "")
    return found
