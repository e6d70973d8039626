"""Parents among nested levels against parents over widths; trees of the levels of one SAE."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from plain import Matrix, Plain
from test_matching_tree import CHILDREN, OTHERS, PARENTS, World, linked, side

from interpsweep.config.analysis import TreeSettings
from interpsweep.config.saes import nested_widths
from interpsweep.matching.agreement import (
    levels_against_widths,
    nested_levels,
    parents_among_levels,
)
from interpsweep.matching.edges import Level
from interpsweep.matching.tree import build
from interpsweep.saes.firing import Leading


def levels_of_one_sae() -> tuple[pd.DataFrame, Any]:
    """The tree of a dictionary whose first level has parents and others, its second children."""
    world = World(child_p=0.2, child_size=1.0)
    rows, codes = world.cofiring()
    order = [*range(PARENTS), *range(-OTHERS, 0), *range(PARENTS, PARENTS * (1 + CHILDREN))]
    whole = side(rows[order], codes[:, order])
    first = side(rows[order[: PARENTS + OTHERS]], codes[:, order[: PARENTS + OTHERS]])
    step = linked(first, whole, Matrix(world.x.astype(np.float32)))
    levels = [Level(s.decoder, s.encoder, s.count, s.mean) for s in (first, whole)]
    made = build(levels, [first.codes, whole.codes], [step], TreeSettings(), Plain())
    return made[0], made[2]


def test_children_of_a_later_level_hang_from_parents_of_an_earlier_one() -> None:
    nodes, summary = levels_of_one_sae()
    counts = {k: n for k, n in summary["steps"][0]["counts"].items() if n}
    assert counts == {"identity": PARENTS + OTHERS, "specialisation": PARENTS * CHILDREN}
    found = parents_among_levels(nodes)
    children = np.arange(PARENTS + OTHERS, PARENTS * (1 + CHILDREN) + OTHERS)
    assert found.index.tolist() == children.tolist()
    assert found.tolist() == np.repeat(range(PARENTS), CHILDREN).tolist()


def test_levels_and_widths_agree_where_they_have_one_parent() -> None:
    nodes, _ = levels_of_one_sae()
    inner = parents_among_levels(nodes)
    # a narrower SAE has the parents as 5, 6 and 7; each child hangs from its own, but for one
    over = {latent: 5 + latent for latent in range(PARENTS)}
    over |= {child: 5 + parent for child, parent in inner.items()}
    over[inner.index[0]] = 6
    latents = np.arange(len(nodes[nodes["level"] == 1]))
    wide = pd.DataFrame(
        {
            "latent": latents,
            "step": [int(n in over) for n in latents],
            "parent": [f"0:{over[n]}" if n in over else "" for n in latents],
            "type": ["identity" if n < PARENTS else "split" for n in latents],
        }
    )
    found = levels_against_widths(nodes, wide)
    total = PARENTS * CHILDREN
    assert (found["over_widths"], found["among_levels"], found["both"]) == (total, total, total)
    assert found["agreeing"] == total - 1 and found["agreement"] == pytest.approx(1 - 1 / total)
    assert found["null_agreement"] == pytest.approx(1 / PARENTS, abs=0.05)
    assert found["p"] < 0.01


def test_every_sae_with_a_narrower_one_and_a_tree_of_levels_has_a_row() -> None:
    nested, _ = levels_of_one_sae()
    widths = pd.DataFrame({"level": [0, 1, 2], "d_sae": [8, 16, 32], "latent": 0, "step": 0})
    rows = nested_levels({8: nested, 32: nested}, widths.assign(parent="", type="novel"))
    assert [(row["d_narrow"], row["d_sae"]) for row in rows] == [(16, 32)]


def test_without_common_latents_there_is_no_agreement() -> None:
    nodes, _ = levels_of_one_sae()
    wide = pd.DataFrame({"latent": [0], "step": [0], "parent": [""], "type": ["novel"]})
    found = levels_against_widths(nodes, wide)
    assert found["both"] == 0 and np.isnan(found["agreement"]) and np.isnan(found["p"])


def test_leading_latents_are_read_alone() -> None:
    codes = Matrix(sp.csr_matrix(np.arange(12.0).reshape(3, 4)))
    leading = Leading(codes, 2)
    assert leading.d_sae == 2 and leading.rows == (0, 3)
    np.testing.assert_array_equal(leading.read(1, 3).toarray(), [[4, 5], [8, 9]])
    np.testing.assert_array_equal(leading.peaks, [8, 9])


def test_nested_widths_ascend_to_the_whole() -> None:
    assert nested_widths((0.0625, 0.125, 0.25, 0.5, 1.0), 16) == [1, 2, 4, 8, 16]
    assert nested_widths((0.01, 0.02, 1.0), 16) == [1, 16]
