"""`interpsweep tree show`: a lineage in the terminal, on a small finished sweep of a world."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from interpsweep import cli
from interpsweep.config.load import load_sweep
from interpsweep.driver import write_specs
from interpsweep.jobs import run_job
from interpsweep.plan import build_plan
from interpsweep.store import Store
from interpsweep.tables import read_parquet

SITE = "blocks.0.hook_resid_post"
CONFIG = f"""\
sweep: small
models:
  - name: tree
    source: world
    sites: [{SITE}]
    world: {{kind: tree, d: 16, roots: 2, branching: 2, independent: 2}}
corpus: {{source: generated, n_tokens: 20_000, context_length: 16}}
capture: {{dtype: float32}}
train: {{widths: [4, 8], sparsities: [2], seeds: [0, 1], tokens: 200_000, batch_size: 512}}
match: {{directions: [width], null_draws: 5}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweep")
    (root / "small.yaml").write_text(CONFIG)
    plan, store = build_plan(load_sweep([root / "small.yaml"]), {}), Store(root / "store")
    write_specs(plan, store)
    for job in plan.jobs:
        if job.stage in ("corpus", "capture", "mask", "train", "encode", "match", "tree"):
            run_job(store, store.spec_path(job.digest))
    return root


def show(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    command = ["interpsweep", "tree", "show", *arguments, "--config", "small.yaml"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_a_lineage_has_parents_children_evidence_and_contexts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    tree = sorted((folder / "store/trees").iterdir())[0]
    edges = read_parquet(tree / "edges.parquet")
    edge = edges[edges["related"] & edges["primary"]].iloc[0]
    found = set()
    for seed in ("0", "1"):  # folders do not tell which seed a tree is of
        assert show(folder, monkeypatch, SITE, f"8:{edge['w']}", "--seed", seed) == 0
        said = capsys.readouterr().out
        assert f"8:{edge['w']}" in said and "fires on" in said and f"seed {seed}" in said
        found.add(f"4:{edge['n']}" in said and edge["type"].replace("_", " ") in said)
    assert True in found
    assert show(folder, monkeypatch, SITE, f"4:{edge['n']}", "--seed", "0", "--contexts", "2") == 0
    assert "P(this|parent)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((SITE, "8:3"), "several trees fit; choose with --seed 0, 1"),
        ((SITE, "8:3", "--seed", "7"), "no tree fits; choose with --model tree"),
        (("blocks.0.hook_resid_pre", "8:3"), f"did you mean '{SITE}'?"),
        ((SITE, "8:9", "--seed", "0"), "the SAE of width 8 has latents 0 to 7"),
        ((SITE, "5:1", "--seed", "0"), "no SAE of width 5; widths are 4, 8"),
        ((SITE, "first", "--seed", "0"), "'first' is no feature: write `width:latent`"),
    ],
)
def test_mistakes_are_named(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    assert show(folder, monkeypatch, *arguments) == 2
    assert says in capsys.readouterr().err
