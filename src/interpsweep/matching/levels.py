"""Nested levels of Matryoshka SAEs as a tree of their own, against the tree over widths.

Both give a latent of a wide SAE a parent by the same evidence: the tree over widths a latent of the
narrower SAE, which was trained apart, the levels one of the same SAE that an earlier level has.
They agree on a latent if the parent among the levels hangs, over widths, from the very latent that
this one hangs from.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from interpsweep.columns import CHILD

DRAWS = 999  # permutations of the parents among the levels


def nested_levels(nested: dict[int, pd.DataFrame], nodes: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of `levels.parquet`: one per Matryoshka SAE with a narrower one in its family.

    `nested` has the nodes of the trees of levels by the width of their SAE, `nodes` are those of
    the family's tree. In the null the parents among the levels are permuted between the latents
    that have both.
    """
    widths = nodes.groupby("level")["d_sae"].first().tolist()
    rows = []
    for level, (narrow, wide) in enumerate(pairwise(widths), start=1):
        if wide in nested:
            found = compare(nested[wide], nodes[nodes["level"] == level])
            rows.append({"d_sae": wide, "d_narrow": narrow, **found})
    return rows


def compare(levels: pd.DataFrame, wide: pd.DataFrame) -> dict[str, Any]:
    """Latents with a parent of either kind, and how often the two kinds agree.

    `levels` are the nodes of the tree of levels, `wide` those of one level of the family's tree.
    """
    inner = parents_among_levels(levels)
    wide = wide[wide["step"] == 1].set_index("latent")
    outer = wide["parent"]
    children = outer[wide["type"].isin(CHILD)]
    both = children.index.intersection(inner.index)
    expected = children[both].to_numpy()
    # what a parent among the levels hangs from over widths; "" if from nothing
    actual = outer.reindex(inner[both]).fillna("").to_numpy()
    agreeing = int((actual == expected).sum())
    rng = np.random.default_rng(0)
    drawn = np.array([(rng.permutation(actual) == expected).sum() for _ in range(DRAWS)])
    known = max(len(both), 1)
    return {
        "latents": len(levels[levels["level"] == levels["level"].max()]),
        "over_widths": len(children),
        "among_levels": len(inner),
        "both": len(both),
        "agreeing": agreeing,
        "agreement": agreeing / known if len(both) else np.nan,
        "null_agreement": float(drawn.mean()) / known if len(both) else np.nan,
        "p": float((1 + (drawn >= agreeing).sum()) / (1 + DRAWS)) if len(both) else np.nan,
    }


def parents_among_levels(levels: pd.DataFrame) -> pd.Series:
    """latent -> parent of the latents that have one on an earlier level than they enter on."""
    first = levels.drop_duplicates("latent")  # rows go from the innermost level outwards
    born = first[first["parent"] != ""]
    parent = born["parent"].str.partition(":")[2].astype(int)
    return pd.Series(parent.to_numpy(), born["latent"].to_numpy())
