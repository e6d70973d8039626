"""Parents by meta-SAE beside a tree's, on dictionaries written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from interpsweep.matching.meta_parents import ALL, compare
from interpsweep.saes.artifact import write_dictionary
from interpsweep.tables import write_json, write_parquet

D = 6


def dictionary(path: Path, rows: np.ndarray) -> Path:
    path.mkdir()
    zeros = {"b_enc": np.zeros(len(rows)), "b_dec": np.zeros(D)}
    write_dictionary(path, "standard", {"W_enc": rows.T, "W_dec": rows, **zeros})
    return path


def test_agreement_and_what_chance_gives(tmp_path: Path) -> None:
    axes = np.eye(D)
    wide = axes[[0, 0, 1, 2]] + 0.1 * axes[[3, 4, 5, 3]]
    saes = {3: dictionary(tmp_path / "narrow", axes[:3]), 4: dictionary(tmp_path / "wide", wide)}
    # meta-latents in another order: 0 stands for 2, 1 for 0, 2 for 1
    meta = dictionary(tmp_path / "meta", 2 * axes[[2, 0, 1]])
    parts = pd.DataFrame(
        [(0, 0, 1), (1, 0, 0), (1, 1, 1), (2, 0, 2)], columns=["feature", "rank", "meta"]
    )  # the last wide latent is composed of nothing
    write_parquet(parts, meta / "composition.parquet")
    write_json({"metas": 3, "explained_variance": 0.6, "explained_variance_null": 0.4},
               meta / "summary.json")  # fmt: skip
    edges = pd.DataFrame({"n": [0, 0, 1, 2, -1, 1], "w": [0, 1, 2, 3, 3, 0],
                          "type": ["split", "split", "identity", "identity", "novel", "split"],
                          "primary": [True] * 5 + [False], "related": [True] * 6,
                          "d_narrow": 3, "d_wide": 4})  # fmt: skip
    table = pd.DataFrame(compare(edges, {4: meta}, saes)).set_index("type")
    assert list(table["children"]) == [4, 2, 2]
    every = table.loc[ALL]
    # strongest names 0, 2, 1, nothing; the parents are 0, 0, 1, 2
    assert every["strongest"] == 2 / 4
    # dealt out anew 0 is right in 2 of 4, 2 and 1 in 1 of 4
    assert every["strongest_null"] == pytest.approx((2 / 4 + 1 / 4 + 1 / 4) / 4)
    assert every["any"] == 3 / 4
    assert every["any_null"] == pytest.approx((2 / 4 + (1 / 4 + 2 / 4) + 1 / 4) / 4)
    assert every["nearest"] == 1
    assert every["metas"] == 4 / 4
    assert table.loc["split", "strongest"] == 1 / 2 and table.loc["split", "any"] == 1
    assert table.loc["split", "nearest_null"] == 1  # all splits are of one parent
    assert every["meta_cosine"] == pytest.approx(1)
    assert (every["d_meta"], every["explained_variance"]) == (3, 0.6)
    assert compare(edges, {}, saes) == []
