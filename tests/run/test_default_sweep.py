"""The embedded default sweep, for real: made whole, found in order, nothing left to do."""

from __future__ import annotations

import json
import zipfile

import pandas as pd
import pytest

from interpsweep.config.figures import FIGURES
from interpsweep.stages import STAGES
from places import Place


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("sweep"))
    text = place.run("run")
    assert "Where to look" in text
    return place


def test_the_sweep_leaves_everything_a_user_is_told_of(finished: Place) -> None:
    results = finished.root / "results/calendar"
    for name in ("index.html", "bundle.zip", "snakemake-report.zip", "claims.json", "figures.json"):
        assert (results / name).exists(), name
    drawn = [path.name for path in (results / "figures").glob("*.svg")]
    # probes and interventions are options, and no SAE here has nested levels
    planned = set(FIGURES) - {"probes", "interventions", "levels"}
    assert {name.partition("-")[0].removesuffix(".svg") for name in drawn} == planned
    assert len(drawn) == len(json.loads((results / "figures.json").read_text())["items"])
    saes = json.loads((results / "calendar/blocks.1.hook_resid_post/saes.json").read_text())
    assert len(saes["items"]) == 6
    assert zipfile.ZipFile(results / "bundle.zip").testzip() is None


def test_planted_structure_is_recovered_and_filler_is_not(finished: Place) -> None:
    claims = next((finished.root / "store/claims").glob("*/recovery.parquet"))
    table = pd.read_parquet(claims)
    for concept in ("weekday", "month", "number"):
        rows = table[table.concept == concept]
        assert rows.supervised_p.min() < 0.01, concept
    assert not (table[table.concept == "filler"].verdict == "recovered").any()


def test_every_item_is_whole(finished: Place) -> None:
    assert " 0 damaged" in finished.run("verify", "--full")


def test_a_second_run_has_nothing_to_do(finished: Place) -> None:
    before = finished.items()
    assert "nothing to do" in finished.run("run", "--dry-run")
    finished.run("run")
    assert "Nothing to be done" in (finished.root / "logs/calendar.log").read_text()
    assert finished.items() == before


def test_a_change_of_style_would_redraw_figures_only(finished: Place) -> None:
    overlay = finished.root / "style.yaml"
    overlay.write_text("figures: {style: {dpi: 90}}\n")
    said = finished.run("run", "config/config.yaml", "style.yaml", "--dry-run")
    planned = {line.split()[0] for line in said.splitlines() if line[:1].isalpha()}
    assert {"figures", "report", "bundle"} <= planned
    assert not planned & (set(STAGES) - {"figures", "report", "bundle"})
