"""SAEs trained in one sweep, given away in two other formats, dissected by another sweep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

import foreign_saes as foreign
from interpsweep.saes.artifact import Dictionary
from places import Place

pytestmark = pytest.mark.quick

QUICK = ("config/config.yaml", "config/overlays/quick.yaml", "mine.yaml")
SITE = "blocks.0.hook_resid_post"
TOGETHER = ("l0.v2", "explained_variance.v2")


def metrics(place: Place, results: str) -> dict[int, dict]:
    """Metrics of the evaluations that a readable file shows, by width."""
    folder = place.root / "results" / results / "calendar" / SITE / "evaluations"
    found = {}
    for item in folder.iterdir():
        width = int(item.name.split("width")[1].split("-")[0])
        found[width] = json.loads((item / "metrics.json").read_text())
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("imports"))
    mine = place.root / "mine.yaml"
    mine.write_text("train: {widths: [32, 64], seeds: [0]}\n")
    place.run("run", *QUICK, "--target", "evaluations")
    given = {"w32": foreign.write_sparsify, "w64": None}
    for item in sorted((place.root / "store/saes").iterdir()):
        sae = Dictionary.open(item)
        name = f"w{sae.d_sae}"
        if given[name] is not None:
            foreign.write_sparsify(place.root / "given" / name, sae.tensors, k=sae.k)
        else:
            state = {**foreign.linear(sae.tensors), "b_dec": sae.b_dec,
                     "k": np.int32(sae.k), "threshold": np.float32(-1)}  # fmt: skip
            foreign.write_dictionary_learning(
                place.root / "given" / name, "AutoEncoderTopK", state,
                dict_size=sae.d_sae, activation_dim=sae.d_in, k=sae.k, seed=0,
            )  # fmt: skip
    model = YAML(typ="safe").load(place.root / QUICK[1])["models"][0]
    model["saes"] = [{"path": "given/w{width}", "site": SITE, "each": {"width": [32, 64]}}]
    with mine.open("w") as file:
        YAML().dump(
            {
                "sweep": "given",
                "models": [model],
                "train": {"widths": []},
                "figures": {"draw": ["pareto", "edges", "forest"]},
            },
            file,
        )
    place.run("run", *QUICK)
    return place


def test_nothing_is_trained_and_everything_else_is_made(place: Place) -> None:
    made = place.stages(set(place.items()))
    assert made.count("train") == 2  # of the first sweep
    assert made.count("capture") == 1  # both sweeps read the same activations
    counts = {
        "import": 2,
        "evaluate": 4,
        "encode": 2,
        "geometry": 2,
        "landscape": 2,
        "meta": 2,
        "match": 1,
        "tree": 1,
    }
    assert {stage: made.count(stage) for stage in counts} == counts
    shown = json.loads((place.root / f"results/given/calendar/{SITE}/saes.json").read_text())
    assert [item["name"] for item in shown["items"]] == [
        "topk-width32-sparsity4-seed0", "topk-width64-sparsity4-seed0",
    ]  # fmt: skip
    assert (place.root / "results/given/index.html").exists()


def test_they_are_the_saes_that_were_given_away(place: Place) -> None:
    before, after = metrics(place, "quick"), metrics(place, "given")
    assert before.keys() == after.keys() == {32, 64}
    for width, ours in before.items():
        for name in TOGETHER:
            assert after[width][name] == pytest.approx(ours[name], rel=1e-5, abs=1e-6), name


def test_they_have_edges_and_a_tree(place: Place) -> None:
    (edges,) = (place.root / "store/matches").glob("*/edges.parquet")
    assert len(pd.read_parquet(edges)) > 0
    (tree,) = (place.root / "store/trees").glob("*/nodes.parquet")
    assert set(pd.read_parquet(tree)["d_sae"]) == {32, 64}


def test_a_file_that_changes_is_noticed(place: Place) -> None:
    weights: Path = place.root / "given/w32/sae.safetensors"
    held = weights.read_bytes()
    weights.write_bytes(held[:-4] + b"\0\0\0\0")
    try:
        assert "nothing to do" in place.run("run", *QUICK, "--dry-run")  # the lock is the truth
        place.run("lock", *QUICK)
        assert "import" in place.run("run", *QUICK, "--dry-run")
    finally:
        weights.write_bytes(held)
        place.run("lock", *QUICK)
    assert "nothing to do" in place.run("run", *QUICK, "--dry-run")


def test_saes_of_which_nothing_ever_fires(place: Place) -> None:
    for item in sorted((place.root / "store/saes").iterdir()):  # silent twins of the trained SAEs
        sae = Dictionary.open(item)
        names = ("W_enc", "W_dec", "b_dec")
        tensors = {name: np.ascontiguousarray(sae.tensors[name]) for name in names}
        tensors["b_enc"] = np.full(sae.d_sae, -1e9, np.float32)
        foreign.write_saelens(place.root / f"silent/w{sae.d_sae}", "standard", tensors)
    model = YAML(typ="safe").load(place.root / QUICK[1])["models"][0]
    model["saes"] = [
        {"path": "silent/w{width}", "site": SITE, "sparsity": 4, "each": {"width": [32, 64]}}
    ]
    silent = {"sweep": "silent", "models": [model], "train": {"widths": []}}
    with (place.root / "silent.yaml").open("w") as file:
        YAML().dump(silent, file)
    said = place.run("run", *QUICK[:2], "silent.yaml")  # status 0: nothing is missing
    assert "is complete" in said
    shown = place.root / "results/silent"
    for file in (shown / f"calendar/{SITE}/geometry").glob("*/summary.json"):
        assert json.loads(file.read_text())["alive"] == 0
    claims = pd.read_parquet(shown / "claims/claims/claims.parquet")
    claimed = claims.loc[claims["verdict"] == "claimed", "kind"]
    assert set(claimed) <= {"concept"}  # which is of activations, not of these SAEs
