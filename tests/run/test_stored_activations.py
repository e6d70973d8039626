"""A sweep over activations that were made elsewhere: all but what needs the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from places import Place
from stored_activations import OTHER, SITE, rows, write_npy, write_saelens

pytestmark = pytest.mark.quick

SWEEP = """
sweep: stored
models:
  - {name: given, source: activations, path: given, marks: [0], sites: [%s]}
corpus: {source: activations}
train: {widths: [8, 16], sparsities: [2], seeds: [0], tokens: 20_000, batch_size: 256}
geometry: {most_draws: 99, null_dictionaries: 2, cloud_clusters: 4}
landscape: {draws: 19, dictionaries: 3}
meta: {steps: 20}
children: {draws: 99, null_dictionaries: 19}
figures: {draw: [pareto, edges]}
"""


def test_a_folder_of_rows_goes_through_everything(tmp_path: Path) -> None:
    place = Place(tmp_path)
    write_npy(place.root / "given", rows(contexts=600))
    (place.root / "mine.yaml").write_text(SWEEP % SITE)
    assert "4,800 rows" in place.run("plan", "mine.yaml")
    said = place.run("run", "mine.yaml")
    assert "Sweep stored is complete" in said
    shown = place.root / "results/stored"
    for name in ("index.html", "claims.json", "figures/pareto.svg", f"given/{SITE}/trees.json"):
        assert (shown / name).exists(), name
    for item in (shown / f"given/{SITE}/evaluations").iterdir():
        metrics = json.loads((item / "metrics.json").read_text())
        assert any(name.startswith("explained_variance") for name in metrics)
        assert not any(name.startswith("loss_recovered") for name in metrics)
    logs = "".join(path.read_text() for path in (place.root / "logs/evaluate").iterdir())
    assert "there is no model, so no loss recovered" in logs

    lock = json.loads((place.root / "mine.lock.json").read_text())["inputs"]
    assert lock["activations:given"].startswith("sha256:")
    write_npy(place.root / "given", rows(seed=1))  # changed under the sweep: named, never mixed in
    (place.root / "mine.yaml").write_text((SWEEP % SITE).replace("20_000", "30_000"))
    assert "nothing to do" not in place.run("run", "-n", "mine.yaml")
    (place.root / "more.yaml").write_text(
        f"models: [{{name: given, source: activations, path: given, sites: [{OTHER}]}}]\n"
    )
    said = place.run("run", "mine.yaml", "more.yaml", "--target", "activations", status=1)
    assert "activations:given: changed since it was locked" in said


def test_saelens_cached_activations_and_a_site_that_is_not_there(tmp_path: Path) -> None:
    place = Place(tmp_path)
    write_saelens(place.root / "given", rows(contexts=100))
    (place.root / "mine.yaml").write_text(SWEEP % OTHER)
    said = place.run("run", "mine.yaml", status=2)
    assert f"no activations of {OTHER}" in said and SITE in said and "Traceback" not in said
    (place.root / "mine.yaml").write_text(SWEEP % SITE)
    place.run("run", "mine.yaml", "--target", "evaluations")
    assert place.stages(set(place.items())).count("evaluate") == 2
