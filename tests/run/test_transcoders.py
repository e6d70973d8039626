"""Transcoders from a model's hidden activations to its MLP's output, from training to the atlas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from interpsweep.activations.artifact import Activations
from interpsweep.saes.artifact import Dictionary
from places import Place

pytestmark = pytest.mark.quick

IN, OUT = "blocks.0.mlp.hook_post", "blocks.0.hook_mlp_out"
D_IN, D_OUT, K = 64, 32, 4  # of the quick model
SWEEP = f"""\
models:
  - name: calendar
    source: trained
    architecture: {{n_layers: 1, d_model: {D_OUT}, n_heads: 2, d_mlp: {D_IN}, n_ctx: 32}}
    training: {{steps: 150}}
    sites: [{IN}, {{site: {OUT}, overrides: {{train: {{widths: []}}}}}}]
train:
  architectures: [{{architecture: topk, output_site: "blocks.{{layer}}.hook_mlp_out"}}]
  sparsities: [{K}]
  seeds: [0]
figures: {{draw: [pareto, latents, edges]}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("transcoders"))
    (place.root / "transcoders.yaml").write_text(SWEEP)
    place.run("run", "config/config.yaml", "config/overlays/quick.yaml", "transcoders.yaml")
    return place


def shown(place: Place, kind: str) -> dict[str, Path]:
    """The items behind a readable folder of the site that is read, by name."""
    folder = place.root / "results/quick/calendar" / IN / kind
    return {
        item.name: (item / "manifest.json").resolve().parent for item in sorted(folder.iterdir())
    }


def activations(place: Place, site: str) -> Activations:
    (found,) = (place.root / "store/activations").glob(f"{site}-*")
    return Activations.open(found)


def test_everything_is_made(place: Place) -> None:
    made = place.stages(set(place.items()))
    counts = {"capture": 2, "train": 2, "evaluate": 2, "encode": 2, "geometry": 2, "landscape": 2, "meta": 2, "recovery": 2, "match": 1,
              "tree": 1, "children": 1, "agreement": 1, "claims": 1, "report": 1, "bundle": 1}  # fmt: skip
    assert {stage: made.count(stage) for stage in counts} == counts
    assert "topk_transcoder" in (place.root / "results/quick/index.html").read_text()


def test_they_explain_what_they_predict(place: Place) -> None:
    x, y = activations(place, IN), activations(place, OUT)
    rows = x.splits["eval"]
    read, wanted = x.read(*rows), y.read(*rows).astype(np.float64)
    evaluations = shown(place, "evaluations")
    assert len(evaluations) == 2
    for name, item in shown(place, "saes").items():
        sae = Dictionary.open(item)
        assert (sae.d_in, sae.d_out, sae.k) == (D_IN, D_OUT, K)
        pre = read @ sae.W_enc + sae.b_enc
        kept = pre >= np.sort(pre, axis=1)[:, [-K]]
        hat = np.where(kept, np.maximum(pre, 0), 0) @ sae.W_dec + sae.b_dec
        unexplained = ((wanted - hat) ** 2).sum() / ((wanted - wanted.mean(0)) ** 2).sum()
        metrics = json.loads((evaluations[name] / "metrics.json").read_text())
        assert metrics["explained_variance.v2"] == pytest.approx(1 - unexplained, abs=1e-5)
        assert metrics["explained_variance.v2"] > 0.5
        assert metrics["ce_recovered.v2"] > 0.5
        # rows of 64 numbers and rows of 32 have no cosine
        assert metrics["encoder_decoder_cosine.v2"] is None


def test_their_widths_are_matched_and_form_trees(place: Place) -> None:
    (edges,) = (place.root / "store/matches").glob("*/edges.parquet")
    assert len(pd.read_parquet(edges)) > 0
    (nodes,) = (place.root / "store/trees").glob("*/nodes.parquet")
    assert set(pd.read_parquet(nodes)["d_sae"]) == {32, 64}
