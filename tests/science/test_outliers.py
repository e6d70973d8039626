"""Massive rows, left out by a mask, change nothing of what is found; read like others they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from sweeps import ROOT, Made, edge_scores

from interpsweep.tables import read_json
from markers import slow

STAGES = {"corpus", "capture", "mask", "train", "evaluate", "encode", "match", "tree"}
LADDER = ROOT / "config/sweeps/worlds/ladder.yaml"
QUICK = [Path(__file__).parent / "quick" / f"{name}.yaml" for name in ("all", "ladder")]
WORLD = yaml.safe_load(LADDER.read_text())["models"][0]["world"]


def made(root: Path, outliers: dict[str, float] | None, norm: float | None, seeds: tuple) -> Made:
    """The ladder with massive rows, of which those above `norm` medians are left out."""
    root.mkdir()
    model = {"name": "ladder", "source": "world", "sites": ["blocks.0.hook_resid_post"]}
    overlay = {
        "models": [{**model, "world": {**WORLD, "outliers": outliers}}],
        "mask": {"norm": norm},
        "train": {"seeds": list(seeds)},
    }
    (root / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    return Made(root / "store", STAGES, LADDER, *QUICK, root / "overlay.yaml")


def best(found: Made) -> dict[str, Any]:
    """The counts of edge types and their F1, of the seed with the smallest loss; and the FVU."""

    def loss(seed: int) -> float:
        saes = found.plan.items.of("train", seed=seed)
        return sum(found.store.manifest(sae.digest)["metrics"]["loss"] for sae in saes)

    seed = min({sae.at["seed"] for sae in found.plan.items.of("train")}, key=loss)
    (tree,) = found.summaries("tree", seed=seed, direction=None)
    scores = edge_scores(found).query("level == 1 and seed == @seed").set_index("type")
    (mask,) = found.summaries("mask")
    (evaluated,) = found.paths("evaluate", seed=seed, d_sae=20)
    metrics = read_json(evaluated / "metrics.json")
    return {
        "counts": {kind: n for kind, n in tree["steps"][0]["counts"].items() if n},
        "f1": scores["f1"].dropna().to_dict(),
        **{key: mask[key] for key in ("left_out", "left_out_eval")},
        **{key: metrics[f"{key}.v2"] for key in ("fvu", "explained_variance_all_rows")},
    }


@pytest.mark.parametrize(("share", "norm"), [(1e-3, 100.0), slow(1e-4, 300.0), slow(1e-2, 30.0)])
def test_masked_they_change_nothing(tmp_path: Path, share: float, norm: float) -> None:
    """What `test_tree_worlds` finds without them."""
    found = best(made(tmp_path / "made", {"share": share, "norm": norm}, 10, (0, 1, 2)))
    assert found["counts"] == {"identity": 8, "identity_with_holes": 3, "absorption": 9}
    assert set(found["f1"].values()) == {1.0}
    assert found["fvu"] < 5e-4
    # they are counted all the same, and hide the rest: one dimension in them is all variance
    assert found["left_out"] > 0
    assert (found["explained_variance_all_rows"] < 0.9) == (found["left_out_eval"] > 0)


def test_unmasked_they_do(tmp_path: Path) -> None:
    found = best(made(tmp_path / "made", {"share": 1e-3, "norm": 100.0}, None, (0,)))
    assert found["f1"].get("absorption", 0) < 0.5
