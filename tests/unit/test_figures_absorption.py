"""Why an absorbing feature seems to fire too strongly: its cosine is smaller by as much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_matching_tree import CHILDREN, OTHERS, PARENTS, World, ladder

from interpsweep.figures import absorption
from interpsweep.sources import Source
from interpsweep.tables import write_parquet


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_large_children_conserve_the_projection_on_their_parent(seed: int, tmp_path: Any) -> None:
    """Children of size sqrt(24) beside a parent of size 1: ratios 5 and 1/5, product 1."""
    world = World(child_p=0.2, child_size=np.sqrt(24), seed=seed)
    truth = np.vstack([world.parent, world.other]), np.column_stack([world.on, world.other_on])
    nodes, edges, _, pairs, _ = ladder(world, world.absorbing(), truth)
    for name, frame in (("match/edges", pairs), ("tree/edges", edges), ("tree/nodes", nodes)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_parquet(frame, tmp_path / f"{name}.parquet")
    a = {"architecture": "topk", "sparsity": 8.0, "d_sae": PARENTS + OTHERS, "seed": 0}
    at = {"direction": "width", "a": a, "b": {**a, "d_sae": PARENTS * (1 + CHILDREN) + OTHERS}}
    sources = {
        "match": [Source("0", tmp_path / "match", at)],
        "tree": [Source("1", tmp_path / "tree", {k: a[k] for k in a if k != "d_sae"})],
    }
    table = absorption.table(sources)
    children = table[table["part"] == "child"]
    assert len(children) == PARENTS * CHILDREN and set(children["kind"]) == {"absorption"}
    assert sorted(children["w"]) == sorted(edges.loc[edges["type"] == "absorption", "w"])
    np.testing.assert_allclose(children["activation_ratio"], 5, rtol=1e-4)
    np.testing.assert_allclose(children["cosine_ratio"], 0.2, rtol=1e-4)
    np.testing.assert_allclose(children["value"], 1, rtol=1e-4)
    rate = table.loc[table["kind"] == "width", "value"].item()
    # three of eleven features have holes, on three fifths of their firings
    assert rate == pytest.approx(0.6 * PARENTS / (PARENTS + OTHERS), abs=0.02)
