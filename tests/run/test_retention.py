"""Reclaimed activations: gone from the disk, not missing, and the same bytes when needed again."""

from __future__ import annotations

import json
from pathlib import Path

from places import Place

QUICK = ("config/config.yaml", "config/overlays/quick.yaml", "frugal.yaml")


def test_activations_are_reclaimed_and_come_back(tmp_path: Path) -> None:
    place = Place(tmp_path)
    overlay = place.root / "frugal.yaml"
    overlay.write_text("keep: {activations: until_trained}\n")
    place.run("run", *QUICK)
    (acts,) = (place.root / "store/activations").iterdir()
    assert sorted(path.name for path in acts.iterdir()) == ["manifest.json", "run.json"]
    manifest = json.loads((acts / "manifest.json").read_text())
    assert manifest["reclaimed"] and manifest["files"]
    assert "nothing to do" in place.run("run", *QUICK, "--dry-run")

    overlay.write_text("keep: {activations: always}\ntrain: {widths: [32, 48, 64]}\n")
    before = place.items()
    place.run("run", *QUICK)
    again = json.loads((acts / "manifest.json").read_text())
    assert again["files"] == manifest["files"] and "reclaimed" not in again
    made = place.stages(set(place.items()) - set(before))
    assert made.count("train") == 2
