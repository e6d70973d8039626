"""What latents hold of a planted tree, and which relation each has, on codes written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from plain import Matrix

from interpsweep.matching import world_scores

ROWS = 4000
PARENT = np.array([-1, 0, 0, -1])  # a parent with two children, and a feature of its own


def plain(function: Any, blocks: Any, what: str = "") -> Any:
    return map(function, blocks)


def features() -> np.ndarray:
    rng = np.random.default_rng(0)
    parent, draw = rng.random(ROWS) < 0.4, rng.random(ROWS)
    return np.column_stack(
        [parent, parent & (draw < 0.3), parent & (draw > 0.7), rng.random(ROWS) < 0.2]
    ).astype(float)


def held(latents: np.ndarray, decoder: np.ndarray) -> world_scores.Contents:
    world = world_scores.World(Matrix(features()), PARENT, np.eye(4, dtype=np.float32))
    return world_scores.holds(Matrix(latents), decoder.astype(np.float32), world, plain)


def types(narrow: world_scores.Contents, wide: world_scores.Contents) -> list[str]:
    world = world_scores.World(Matrix(features()), PARENT, np.eye(4, dtype=np.float32))
    return [name for name, _ in world_scores.true_types(narrow, wide, world, 30)]


AXES, F = np.eye(4), features()
NARROW = held(F[:, [0, 3]], AXES[[0, 3]])
ABSORBED = F[:, 0] - F[:, 1] - F[:, 2]  # the parent's latent, silent beside its children


def test_latents_hold_features_absorbed_parents_too() -> None:
    wide = held(np.column_stack([ABSORBED, F[:, 1], F[:, 1] * F[:, 3]]), AXES[[0, 1, 3]])
    assert wide.feature.tolist()[:2] == [0, 1] and wide.recall[0] < 0.5
    assert wide.feature[2] == -1 and wide.pairs[2]  # on where two unrelated features are


def test_relations_of_children() -> None:
    absorbing = held(np.column_stack([ABSORBED, F[:, 1], F[:, 2], F[:, 3]]), AXES)
    assert types(NARROW, absorbing) == [
        "identity_with_holes",
        "absorption",
        "absorption",
        "identity",
    ]
    beside = held(F, AXES)
    assert types(NARROW, beside) == ["identity", "specialisation", "specialisation", "identity"]
    alone = held(F[:, 1:], AXES[1:])
    assert types(NARROW, alone) == ["split", "split", "identity"]
    assert types(held(F[:, [3]], AXES[[3]]), alone) == ["novel", "novel", "identity"]


def test_scores_count_types_and_places() -> None:
    wide = held(np.column_stack([ABSORBED, F[:, 1], F[:, 2], F[:, 3]]), AXES)
    names = ["identity_with_holes", "absorption", "split", "identity"]
    edges = pd.DataFrame(
        {"level": 1, "step": 1, "n": [0, 0, 1, 1], "w": range(4), "type": names, "subtype": "",
         "primary": True, "related": True}
    )  # fmt: skip
    world = world_scores.World(Matrix(F), PARENT, np.eye(4, dtype=np.float32))
    confusion, scores = world_scores.score(edges, [NARROW, wide], world, 30)
    assert confusion["count"].sum() == 4
    by = scores[scores["level"] == 1].set_index("type")
    assert by.loc["absorption", ["true", "found", "right"]].tolist() == [2, 1, 1]
    assert by.loc["parent_child", ["true", "found", "right"]].tolist() == [2, 2, 1]  # one misplaced
    assert by.loc["identity", "f1"] == 1


def test_edges_over_a_level_in_between_are_scored_by_themselves() -> None:
    lacking = held(F[:, [3]], AXES[[3]])  # of the tree the middle level has nothing
    wide = held(np.column_stack([ABSORBED, F[:, 1], F[:, 2], F[:, 3]]), AXES)
    rows = [
        (1, 1, -1, 0, False), (2, 1, -1, 0, False), (2, 1, -1, 1, False), (2, 1, -1, 2, False),
        (2, 1, 0, 3, True), (2, 2, 0, 1, True), (2, 2, 1, 2, True),
    ]  # fmt: skip
    edges = pd.DataFrame(rows, columns=["level", "step", "n", "w", "related"])
    edges = edges.assign(type="split", subtype="", primary=True)
    world = world_scores.World(Matrix(F), PARENT, np.eye(4, dtype=np.float32))
    confusion, scores = world_scores.score(edges, [NARROW, lacking, wide], world, 30)
    assert confusion["count"].sum() == 5
    skip = scores.set_index("type").loc["skip"]
    # the parent itself and both children have a latent two levels down; one of two edges is misplaced
    assert skip[["true", "found", "right"]].tolist() == [3, 2, 1]
