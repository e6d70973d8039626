"""Matches of a sweep side by side: width steps against pairs of seeds, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from interpsweep.claims.match_tables import CONTROLS, contrasts, matching
from interpsweep.sources import Source
from interpsweep.tables import write_json

PLACE = {"model": "m", "site": "blocks.3.hook_resid_post", "layer": 3, "architecture": "topk",
         "sparsity": 8.0}  # fmt: skip
VERTICAL = {0: 0.70, 1: 0.74, 2: 0.75}
HORIZONTAL = {(0, 1): (0.90, 0.92), (1, 2): (0.80, 0.82)}  # both ways between two seeds
WIDE = {(0, 1): (0.60, 0.62), (1, 2): (0.50, 0.56)}


def source(folder: Path, direction: str, a: dict[str, Any], b: dict[str, Any], **found: Any) -> Any:
    path = folder / f"{direction}-{a}-{b}".replace(" ", "")
    path.mkdir()
    summary = {
        **dict.fromkeys(CONTROLS, 0.5), "alive_a": 60, "p_mmcs_covariance": 0.025,
        "null_covariance": {"mmcs_ab": 0.3, "mmcs_ba": 0.3}, "null_rotated": {"mcc": 0.1},
        "stitching": {"novel_share": 0.1, "auc": 0.9, "threshold": None}, **found,
    }  # fmt: skip
    write_json({k: v for k, v in summary.items() if k != "novel_share"}, path / "summary.json")
    at = {"direction": direction, "a": {**PLACE, **a}, "b": {**PLACE, **b}}
    return Source(path.name, path, at)


@pytest.fixture
def table(tmp_path: Path) -> Any:
    made = [
        source(tmp_path, "width", {"d_sae": 64, "seed": s}, {"d_sae": 128, "seed": s}, mmcs_ab=v,
               mmcs_ba=v - 0.2)
        for s, v in VERTICAL.items()
    ]  # fmt: skip
    for width, values in ((64, HORIZONTAL), (128, WIDE)):
        for (s, t), (ab, ba) in values.items():
            a, b = {"d_sae": width, "seed": s}, {"d_sae": width, "seed": t}
            made.append(source(tmp_path, "seed", a, b, mmcs_ab=ab, mmcs_ba=ba))
    above = {"site": "blocks.4.hook_resid_post", "layer": 4, "d_sae": 64, "seed": 0}
    made.append(source(tmp_path, "layer", {"d_sae": 64, "seed": 0}, above, mmcs_ab=0.4))
    return matching(made)


def test_every_direction_has_its_rows(table: Any) -> None:
    assert table["direction"].value_counts().to_dict() == {"width": 3, "seed": 4, "layer": 1}
    layer = table[table["direction"] == "layer"].iloc[0]
    assert (layer["b_site"], layer["b_layer"]) == ("blocks.4.hook_resid_post", 4)
    assert table["novel_share"].eq(0.1).all() and table["novel_threshold"].isna().all()
    width = table[table["direction"] == "width"]
    np.testing.assert_allclose(width["horizontal_mmcs_ab"], (0.91 + 2 * 0.86 + 0.81) / 4)
    assert table.loc[table["direction"] != "width", "horizontal_mmcs_ab"].isna().all()


def test_difference_of_width_and_seed_with_its_interval(table: Any) -> None:
    found = contrasts(table).set_index("statistic")
    row = found.loc["mmcs_ab"]
    # seed 1 takes part in both matches between seeds
    apart = [0.70 - 0.91, 0.74 - (0.91 + 0.81) / 2, 0.75 - 0.81]
    assert row["difference"] == pytest.approx(np.mean(apart))
    interval = ttest_1samp(apart, 0).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert row["seeds"] == 3
    # how well the wide one is found is compared with seeds of the wide width
    assert found.loc["mmcs_ba", "horizontal"] == pytest.approx((0.61 + 0.57 + 0.53) / 3)


def test_without_seeds_there_is_no_control(table: Any) -> None:
    found = contrasts(table[table["direction"] == "width"])
    assert found["horizontal"].isna().all() and found["low"].isna().all()
    assert found["vertical"].notna().all()
