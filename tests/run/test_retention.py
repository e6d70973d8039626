"""Reclaimed activations: gone from the disk, not missing, and the same bytes when needed again;
what a width more and another style make; all without meta-SAEs and without landscapes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from places import Place

pytestmark = pytest.mark.quick

QUICK = ("config/config.yaml", "config/overlays/quick.yaml", "frugal.yaml")


def test_activations_are_reclaimed_and_come_back_and_edits_make_what_is_new(tmp_path: Path) -> None:
    place = Place(tmp_path)
    overlay = place.root / "frugal.yaml"
    few = "figures: {draw: [pareto, edges, forest, landscape]}\n"
    few += "landscape: {enabled: false}\nmeta: {enabled: false}\n"
    overlay.write_text("keep: {activations: until_trained}\n" + few)
    place.run("run", *QUICK)
    (acts,) = (place.root / "store/activations").iterdir()
    assert sorted(path.name for path in acts.iterdir()) == ["manifest.json", "run.json"]
    assert not {"landscape", "meta"} & set(place.stages(set(place.items())))
    claims = pd.read_parquet(place.root / "results/quick/claims/claims/claims.parquet")
    assert len(claims) and "dictionary" not in set(claims["kind"])
    atlas = (place.root / "results/quick/index.html").read_text()
    assert "What is missing" not in atlas and "Dictionaries as a whole" not in atlas
    manifest = json.loads((acts / "manifest.json").read_text())
    assert manifest["reclaimed"] and manifest["files"]
    assert "nothing to do" in place.run("run", *QUICK, "--dry-run")

    overlay.write_text("keep: {activations: always}\ntrain: {widths: [32, 48, 64]}\n" + few)
    before = place.items()
    place.run("run", *QUICK)
    again = json.loads((acts / "manifest.json").read_text())
    assert again["files"] == manifest["files"] and "reclaimed" not in again
    after = place.items()
    (came_back,) = [name for name in before if after[name] != before[name]]
    assert place.root / came_back == acts
    made = place.stages(set(after) - set(before))
    # two seeds of one new width; its pairs with both neighbours and between the seeds (that of the
    # two neighbours is there); a tree per family and one of the pair of seeds
    counts = {
        "train": 2,
        "evaluate": 2,
        "encode": 2,
        "geometry": 2,
        "landscape": 0,
        "meta": 0,
        "match": 5,
        "tree": 3,
    }
    assert {stage: made.count(stage) for stage in counts} == counts
    assert not {"model", "corpus", "concepts"} & set(made)

    overlay.write_text(overlay.read_text().replace("{draw", "{style: {dpi: 90}, draw"))
    before = place.items()
    place.run("run", *QUICK)
    made = place.stages(set(place.items()) - set(before))
    assert set(made) == {"figures", "report", "bundle"}
