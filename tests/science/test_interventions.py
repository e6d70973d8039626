"""Acting on the planted language's weekdays, months and numbers changes the model's answers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sweeps import Made

SITE = "blocks.0.hook_resid_pre"
SWEEP = f"""
sweep: acting
models:
  - name: calendar
    source: trained
    architecture: {{n_layers: 2, d_model: 64, n_heads: 4, d_mlp: 256, n_ctx: 32}}
    training: {{steps: 1000, batch_size: 32, learning_rate: 5.0e-3}}
    sites: [{SITE}]
corpus: {{source: generated, n_tokens: 200_000, context_length: 32, analysis_share: 0.4}}
train: {{architectures: [topk], widths: [256], sparsities: [4], seeds: [0], tokens: 400_000}}
concepts: {{draws: 199}}
intervene: {{actions: [shift, ablate], steps: [1, 2, 3], draws: 19}}
"""
STAGES = {"model", "corpus", "capture", "mask", "train", "encode", "concepts", "recovery"}


@pytest.fixture(scope="module")
def effects(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What is written of the site, and of the only SAE there."""
    root = tmp_path_factory.mktemp("acting")
    (root / "acting.yaml").write_text(SWEEP)
    made = Made(root / "store", STAGES | {"intervene"}, root / "acting.yaml")
    items = made.plan.items.of("intervene")
    assert sorted("d_sae" in item.at for item in items) == [False, True]
    paths = [Path(made.store.find(item.digest)) / "effects.parquet" for item in items]
    return pd.concat(map(pd.read_parquet, paths), ignore_index=True)


def of(effects: pd.DataFrame, source: str, space: str) -> pd.DataFrame:
    """The shifts in a subspace."""
    shifts = effects[effects["action"] != "ablate"]
    return shifts[(shifts["source"] == source) & shifts["space"].isin(space.split())]


@pytest.mark.slow
def test_answers_follow_a_value_that_is_shifted(effects: pd.DataFrame) -> None:
    """In all directions in which class means differ, to .8 of the model's own accuracy and more;
    moved as far in random directions, it answers so no more often than by guessing.
    """
    assert (effects["accuracy"] > 0.8).all()
    span = of(effects, "means", "span")
    assert sorted(span["concept"].unique()) == ["month", "number", "weekday"] and len(span) == 9
    assert (span["effect"] >= 0.8 * span["accuracy"]).all()
    assert (span["p"] == 1 / 20).all() and (span["logit_p"] == 1 / 20).all()
    assert (span["logit"] > 0).all() and (span["logit_null"] < 0).all()
    around = span[span["shape"] == "circle"]
    assert (around["null_mean"] <= 1 / around["values"]).all()
    # two steps down the number line is a slip that damage brings about as well
    assert span["null_mean"].max() < 0.2
    ablated = effects[(effects["action"] == "ablate") & (effects["space"] == "span")]
    assert (ablated["effect"] > ablated["null_high"]).all()


@pytest.mark.slow
def test_the_plane_of_a_circle_is_a_part_of_it(effects: pd.DataFrame) -> None:
    """The embeddings of weekdays and months lie in more dimensions than two, and the model reads
    them: the plane alone turns answers more than random planes do, and less than all directions.
    """
    plane, span = of(effects, "means", "plane line"), of(effects, "means", "span")
    around = plane[plane["shape"] == "circle"]
    far = around[around["steps"] > 1]
    assert (far["p"] == 1 / 20).all() and (far["effect"] > 0.2 * far["accuracy"]).all()
    assert plane["effect"].mean() < 0.6 * span["effect"].mean()


@pytest.mark.slow
def test_latents_hold_what_the_model_computes_with(effects: pd.DataFrame) -> None:
    held = of(effects, "latents", "span")
    assert len(held) == 9 and (held["p"] == 1 / 20).all()
    assert (held["effect"] >= 0.5 * held["accuracy"]).all()
