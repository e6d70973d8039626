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


@pytest.mark.slow
def test_answers_follow_a_value_that_is_shifted(effects: pd.DataFrame) -> None:
    print(effects.round(3).to_string())
