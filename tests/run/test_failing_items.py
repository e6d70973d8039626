"""One SAE diverges, the other has nothing for a census: everything that does not need it is made, and all say what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from places import Place

pytestmark = pytest.mark.quick

CONFIG = ("config/config.yaml", "config/overlays/quick.yaml", "one_bad.yaml")
SWEEP = """
train:
  widths: [32]
  sparsities: [4, {sparsity: 5, learning_rate: 1.0e+38, gradient_clip: null}]
  seeds: [0]
  tokens: 50_000
match: {directions: [width]}
geometry: {min_firings: 1_000_000}  # nothing fires so often
figures: {draw: [pareto]}
"""


def test_one_sae_that_diverges(tmp_path: Path) -> None:
    place = Place(tmp_path)
    overlay = place.root / "one_bad.yaml"
    overlay.write_text(SWEEP)
    said = place.run("run", *CONFIG, status=1)
    assert "incomplete: 1 item could not be made" in said
    assert "is not finite" in said and "Sweep quick is not complete" in said
    (good,) = (place.root / "store/saes").glob("*/manifest.json")
    assert json.loads(good.read_text())["spec"]["settings"]["sparsity"] == 4
    for kind in ("evaluations", "codes", "geometries", "landscapes", "metas", "claims", "reports"):
        assert len(list((place.root / f"store/{kind}").glob("*/manifest.json"))) == 1, kind
    # the family of the SAE that diverged has nothing to compare, and says so
    assert len(list((place.root / "store/recoveries").glob("*/manifest.json"))) == 1
    told = [
        json.loads(p.read_text()) for p in (place.root / "store/agreements").glob("*/summary.json")
    ]
    assert sorted(len(one.get("missing", [])) for one in told) == [0, 4]
    shown = place.root / "results/quick"
    summary = json.loads((shown / "claims/claims/summary.json").read_text())
    assert {one["stage"] for one in summary["missing"]} >= {"train", "encode", "geometry"}
    atlas = (shown / "index.html").read_text()
    assert "What is missing" in atlas and "is not finite" in atlas
    assert (shown / "snakemake-report.zip").exists()
    listed = json.loads((shown / "calendar/blocks.0.hook_resid_post/saes.json").read_text())
    assert len(listed["items"]) == len(listed["missing"]) == 1
    assert "is not finite" in place.run("status", *CONFIG)
    (geometry,) = (place.root / "store/geometries").iterdir()
    said = json.loads((geometry / "summary.json").read_text())
    assert said["alive"] == said["clusters"] == 0 and "geometry.min_cluster" in said["reason"]

    before = place.items()
    place.run("run", *CONFIG, status=1)  # tried again; nothing else is made anew
    assert place.items() == before
