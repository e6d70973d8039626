"""Made-up tables of matches, for the figures that read them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interpsweep.tables import write_parquet


def write_match(out: Path, a: dict[str, Any], b: dict[str, Any]) -> None:
    """edges, features and stitching of one match of `a` with `b`."""
    rng = np.random.default_rng([a["d_sae"], b["d_sae"], a["seed"]])
    cosine = rng.beta(4, 2, b["d_sae"]).astype("float32")
    novel = rng.random(b["d_sae"]) > cosine
    features = {
        "side": "b",
        "count": 100,
        "cosine": cosine,
        "delta_mse": np.where(novel, -1.0, 1.0),
    }
    write_parquet(pd.DataFrame(features), out / "features.parquet")
    moved = np.linspace(0, 1, 12)
    hill = 1 - 0.2 * moved + 3 * moved * (1 - moved)
    curve = {
        "step": np.arange(12),
        "action": ["", *["insert"] * 3, *["swap"] * 8],
        "inserted": np.round(moved * b["d_sae"]).astype(int),
        "removed": np.round(moved * a["d_sae"]).astype(int),
        "mse_centred": hill,
    }
    write_parquet(pd.DataFrame(curve), out / "stitching.parquet")
    write_parquet(pairs(rng), out / "edges.parquet")


def pairs(rng: np.random.Generator) -> pd.DataFrame:
    """Ten features with holes, each with three children that carry its projection."""
    own = pd.DataFrame({"a": range(10), "b": range(10), "cosine": 0.93, "mutual": True,
                        "n_match_a": 60, "n_match_b": 60, "lb_b_given_a": 0.5,
                        "mean_b": 1.0})  # fmt: skip
    children = pd.DataFrame({"a": np.repeat(range(10), 3), "b": range(10, 40), "cosine": 0.7,
                             "mutual": False, "n_match_a": 60, "n_match_b": 0, "lb_b_given_a": 0.1,
                             "mean_b": 0.93 / 0.7 + rng.normal(0, 0.05, 30)})  # fmt: skip
    both = pd.concat([own, children], ignore_index=True)
    return both.assign(
        n_a=100, n_b=60, lb_a_given_b=0.95, match_of_a=both["a"], mean_match_with_a=1.0, npmi=0.5
    )  # fmt: skip


def contrasts(places: list[dict[str, Any]], widths: tuple[int, ...]) -> pd.DataFrame:
    """Differences between width steps and seeds at some sites."""
    rows = [
        {
            **at, "a_d_sae": narrow, "b_d_sae": wide, "statistic": name, "seeds": 2,
            "vertical": 0.7, "horizontal": 0.6, "difference": 0.1, "low": -0.05, "high": 0.25,
        }
        for at in places
        for narrow, wide in pairwise(widths)
        for name in ("mmcs_ab", "mcc", "shared_share", "assignment_agreement")
    ]  # fmt: skip
    return pd.DataFrame(rows)
