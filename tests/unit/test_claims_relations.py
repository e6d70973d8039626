"""Shares of relations from width to width beside those between two seeds of one width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from interpsweep.claims.relations import OF_FAMILY, relations
from interpsweep.sources import Source
from interpsweep.tables import write_json

PLACE = {"model": "m", "site": "blocks.3.hook_resid_post", "layer": 3, "architecture": "topk",
         "sparsity": 8.0}  # fmt: skip
SPLIT = {0: 0.30, 1: 0.34, 2: 0.38}
SEEDS = {(0, 1): 0.10, (1, 2): 0.20}


def step(level: int, narrow: int, wide: int, split: float, survival: float) -> dict[str, Any]:
    return {
        "level": level, "d_narrow": narrow, "d_wide": wide, "n_wide": wide, "alive": wide // 2,
        "counts": {"rare": wide // 2}, "fractions": {"split": split, "novel": 1 - split},
        "births": wide // 4, "skipped": 1, "single_parent_share": 0.9,
        "identity_survival": survival, "branching_mean": 2.0, "branching_max": 3,
        "mean_hole_rate": None, "mean_absorption_rate": 0.0, "mean_hedging": 0.1,
    }  # fmt: skip


def source(path: Path, at: dict[str, Any], widths: list[int], steps: list[Any]) -> Source:
    path.mkdir()
    write_json(
        {"widths": widths, "steps": steps, **dict.fromkeys(OF_FAMILY, 7)}, path / "summary.json"
    )
    return Source(path.name, path, {**PLACE, **at})


@pytest.fixture
def table(tmp_path: Path) -> Any:
    trees = [
        source(tmp_path / f"t{s}", {"seed": s}, [64, 128], [step(1, 64, 128, v, 0.5 + s / 10)])
        for s, v in SPLIT.items()
    ]
    controls = []
    for width, survival in ((64, 0.8), (128, 0.9)):
        for (a, b), v in SEEDS.items():
            at = {"seed": a, "against": b, "d_sae": width, "direction": "seed"}
            made = [step(1, width, width, v, survival)]
            controls.append(source(tmp_path / f"c{width}-{a}", at, [width, width], made))
    return relations(trees, controls).set_index(["level", "statistic"])


def test_a_share_stands_beside_the_seeds_of_the_wide_width(table: Any) -> None:
    row = table.loc[1, "share_split"]
    apart = [0.30 - 0.10, 0.34 - 0.15, 0.38 - 0.20]  # seed 1 takes part in both controls
    assert row["difference"] == pytest.approx(np.mean(apart))
    ends = ttest_1samp(apart, 0).confidence_interval(0.95)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(tuple(ends))
    ends = ttest_1samp(list(SPLIT.values()), 0).confidence_interval(0.95)
    assert (row["vertical_low"], row["vertical_high"]) == pytest.approx(tuple(ends))
    assert row["horizontal"] == pytest.approx(0.15)
    assert (row["seeds"], row["controls"]) == (3, 2)


def test_what_is_of_the_narrow_latents_stands_beside_seeds_of_the_narrow_width(table: Any) -> None:
    row = table.loc[1, "identity_survival"]
    assert (row["vertical"], row["horizontal"]) == pytest.approx((0.6, 0.8))


def test_unknown_values_stay_unknown_and_families_have_no_control(table: Any) -> None:
    assert np.isnan(table.loc[1, "mean_hole_rate"]["vertical"])
    assert table.loc[1, "mean_hole_rate"]["seeds"] == 0
    for name in OF_FAMILY:
        row = table.loc[-1, name]
        assert row["vertical"] == 7 and np.isnan(row["horizontal"]) and row["controls"] == 0
    assert table.loc[1, "share_rare"]["vertical"] == 0.5
    assert table.loc[1, "share_births"]["vertical"] == 0.5


def test_without_trees_the_table_is_empty() -> None:
    assert relations([], []).empty
