"""Exported SAEs: the right ones, whole, with a card that says what they are; always one folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from interpsweep import driver
from interpsweep.cli import app
from interpsweep.commands.export import choose, export_saes
from interpsweep.errors import UserError
from interpsweep.plan import Plan
from interpsweep.store import Store
from interpsweep.store.manifest import write_manifest

SITE = "blocks.0.hook_resid_post"
CONFIG = Path("sweep.yaml")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A sweep of eight SAEs that are made, with their scores."""
    monkeypatch.chdir(tmp_path)
    shape = {"n_layers": 2, "d_model": 16, "n_heads": 2, "d_mlp": 32}
    data: dict[str, Any] = {
        "sweep": "tiny",
        "models": [{"name": "one", "source": "trained", "architecture": shape,
                    "sites": ["blocks.{0..1}.hook_resid_post"]}],
        "corpus": {"source": "generated", "n_tokens": 10000},
        "train": {"widths": [32, 64], "sparsities": [4], "seeds": [0, 1], "tokens": 10000},
    }  # fmt: skip
    CONFIG.write_text(json.dumps(data))
    plan, store = driver.plan_sweep([CONFIG]), Store()
    driver.write_specs(plan, store)
    for stage in ("train", "evaluate"):
        for item in plan.items.of(stage):
            folder = store.root / item.place
            folder.mkdir(parents=True)
            if stage == "train":
                wide = item.at["d_sae"] == 64
                cfg = {"architecture": "topk_transcoder" if wide else "topk"}
                (folder / "cfg.json").write_text(json.dumps(cfg))
                (folder / "sae_weights.safetensors").write_text(item.digest)
            else:
                scores = {"l0.v3": 4.0, "explained_variance.v3": 0.123456, "ce_recovered.v3": None}
                (folder / "metrics.json").write_text(json.dumps(scores))
            write_manifest(folder, item.spec, {})
    return plan


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_coordinates_digests_and_folders_choose(plan: Plan) -> None:
    assert len(choose(plan, [])) == 8
    narrow = choose(plan, [f"site={SITE},width=32"])
    assert {(s.at["site"], s.at["d_sae"], s.at["seed"]) for s in narrow} == {
        (SITE, 32, 0),
        (SITE, 32, 1),
    }
    assert len(choose(plan, ["site=blocks.*,seed=1,sparsity=4"])) == 4
    sae = plan.items.of("train")[3]
    assert choose(plan, [sae.digest[:10]]) == [sae]
    assert choose(plan, [str(Store().root / sae.place)]) == [sae]
    assert len(choose(plan, [sae.digest, "layer=0", "width=32"])) == 6 + (
        sae.at["layer"] == 1 and sae.at["d_sae"] == 64
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("widht=32", "did you mean 'width'"),
        ("width=33", "it has model one"),
        ("gpt2", "neither conditions"),
        ("ffffffff", "no SAE of sweep tiny"),
    ],
)
def test_what_names_no_sae_is_refused(plan: Plan, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose(plan, [text])


def test_an_export_is_whole_and_says_what_it_is(plan: Plan) -> None:
    export_saes([CONFIG], [f"site={SITE},seed=0"], Path("out"), "mit")
    made = files(Path("out"))
    folder = f"one/{SITE}/topk-width32-sparsity4-seed0"
    assert {name.rpartition("/")[2] for name in made if name.startswith(folder)} == {
        "cfg.json", "sae_weights.safetensors", "manifest.json", "metrics.json"
    }  # fmt: skip
    card = made["README.md"].decode()
    head = YAML(typ="safe").load(card.split("---\n")[1])
    assert head == {"license": "mit", "library_name": "saelens",
                    "tags": ["interpretability", "sparse-autoencoder"]}  # fmt: skip
    assert "| l0.v3 | explained_variance.v3 | ce_recovered.v3 |" in card
    assert f"| `{folder}` | 0 | topk | 32 | 4 | 0 | 4 | 0.1235 |  |" in card
    assert f'SAE.load_from_disk("{folder}")' in card
    assert "SAELens has no class for topk_transcoder" in card
    assert f'load("{folder.replace("32", "64")}", device="cpu")' in card
    assert "| tokens | `10000` |" in card
    (sae,) = choose(plan, [f"site={SITE},seed=0,width=32"])
    assert f"| `{folder}` | {sae.digest[:16]} |" in card
    assert str(Path.cwd()) not in card


def test_one_choice_gives_one_folder_of_bytes(plan: Plan) -> None:
    export_saes([CONFIG], ["width=64", "width=32"], Path("a"))
    export_saes([CONFIG], [], Path("b"))
    assert files(Path("a")) == files(Path("b"))


def test_a_damaged_sae_is_not_exported(plan: Plan) -> None:
    sae = plan.items.of("train")[0]
    (Store().root / sae.place / "cfg.json").write_text("other")
    with pytest.raises(UserError, match=r"cfg\.json: damaged"):
        export_saes([CONFIG], [], Path("out"))
    assert not Path("out").exists()


def test_a_missing_sae_and_a_full_folder_are_refused(plan: Plan) -> None:
    Path("full").mkdir()
    Path("full/mine").touch()
    with pytest.raises(UserError, match="there is something already"):
        export_saes([CONFIG], [], Path("full"))
    sae = plan.items.of("train")[0]
    (Store().root / sae.place / "manifest.json").unlink()
    with pytest.raises(UserError, match="1 of 8 chosen SAEs are not made yet"):
        export_saes([CONFIG], [], Path("out"))


def test_the_command_line(plan: Plan) -> None:
    command = ["export", "--config", str(CONFIG), "width=32,seed=1", "layer=1", "--to", "out"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "out: 5 SAEs" in result.output
