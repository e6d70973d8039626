"""The embedded default sweep, for real: made whole, found in order, extended, restyled."""

from __future__ import annotations

import json
import zipfile

import pandas as pd
import pytest

from interpsweep.config.figures import FIGURES
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
    # absorption by probes is an option, and no SAE here has nested levels
    planned = set(FIGURES) - {"probes", "levels"}
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


def test_a_new_width_trains_the_new_saes_only(finished: Place) -> None:
    overlay = finished.root / "wider.yaml"
    overlay.write_text("train: {widths: [128, 192, 256, 512]}\n")
    before = finished.items()
    said = finished.run("run", "config/config.yaml", "wider.yaml", "--dry-run")
    finished.run("run", "config/config.yaml", "wider.yaml")
    after = finished.items()
    assert {name: after[name] for name in before} == before
    made = finished.stages(set(after) - set(before))
    # 2 sites x 2 seeds of one new width; its pairs with both neighbours, over one of them (that of
    # the two neighbours is there) and between the seeds; a tree per family and per pair of seeds
    counts = {
        "train": 4,
        "evaluate": 4,
        "encode": 4,
        "geometry": 4,
        "landscape": 4,
        "meta": 4,
        "match": 14,
        "tree": 6,
    }
    assert {stage: made.count(stage) for stage in counts} == counts
    assert not {"model", "corpus", "capture", "concepts"} & set(made)
    assert len([line for line in said.splitlines() if line.startswith("train ")]) == 4


def test_a_change_of_style_redraws_figures_only(finished: Place) -> None:
    overlay = finished.root / "style.yaml"
    overlay.write_text("figures: {style: {dpi: 90}}\n")
    before = finished.items()
    finished.run("run", "config/config.yaml", "style.yaml")
    made = set(finished.stages(set(finished.items()) - set(before)))
    assert made == {"figures", "report", "bundle"}


def test_a_reverted_edit_costs_nothing(finished: Place) -> None:
    before = finished.items()
    finished.run("run")
    assert finished.items() == before
    assert "Nothing to be done" in (finished.root / "logs/calendar.log").read_text()
