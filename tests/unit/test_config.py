"""The configuration: loading, errors, overrides, generated files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from interpsweep.config.generate import generated
from interpsweep.config.load import load_sweep
from interpsweep.errors import UserError

ROOT = Path(__file__).parents[2]
READY = sorted((ROOT / "config").glob("config.yaml")) + sorted(
    (ROOT / "config/sweeps").rglob("*.yaml")
)

GOOD = """\
sweep: tiny
models:
  - name: one
    source: trained
    sites: [blocks.0.hook_resid_post]
train:
  widths: [32, 64]
"""


def load(tmp_path: Path, *texts: str):
    paths = []
    for i, text in enumerate(texts):
        paths.append(tmp_path / f"{i}.yaml")
        paths[-1].write_text(text)
    return load_sweep(paths)


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_sweeps_are_valid(path: Path) -> None:
    assert load_sweep([path]).models


@pytest.mark.parametrize("name", ["minilm", "smollm2"])
def test_the_small_overlay_fits_its_sweep(name: str) -> None:
    overlay = ROOT / f"config/overlays/{name}-small.yaml"
    small = load_sweep([ROOT / f"config/sweeps/{name}.yaml", overlay])
    assert small.sweep == f"{name}-small" and small.corpus.source == "mix"


def test_the_untrained_model_is_that_of_the_default_sweep_but_for_its_steps() -> None:
    default = ROOT / "config/config.yaml"
    trained, untrained = (
        load_sweep(files)
        for files in ([default], [default, ROOT / "config/overlays/untrained.yaml"])
    )
    (one,), (other,) = trained.models, untrained.models
    assert other.training.steps == 0 < one.training.steps
    assert (other.architecture, other.language, other.seed) == (
        one.architecture,
        one.language,
        one.seed,
    )
    assert other.site_names == one.site_names and untrained.train == trained.train


def test_generated_files_are_up_to_date() -> None:
    stale = [name for name, text in generated().items() if (ROOT / name).read_text() != text]
    assert not stale, "run `interpsweep schema`"


def test_overlays_merge_key_by_key(tmp_path: Path) -> None:
    sweep = load(tmp_path, GOOD, "train: {tokens: 5000}\n", "label: over\n")
    assert sweep.train.tokens == 5000 and sweep.train.widths == (32, 64) and sweep.label == "over"


def test_models_and_sites_override_what_is_below_them(tmp_path: Path) -> None:
    text = GOOD.replace(
        "    sites: [blocks.0.hook_resid_post]",
        "    overrides: {train: {tokens: 1000}}\n"
        "    sites: [hook_embed, {site: blocks.0.hook_resid_post, overrides: {train: {seeds: [5]}}}]",
    )
    sweep = load(tmp_path, text)
    assert sweep.sections("one").train.tokens == 1000
    assert sweep.sections("one", "hook_embed").train.seeds == (0, 1)
    assert sweep.sections("one", "blocks.0.hook_resid_post").train.seeds == (5,)
    assert sweep.sections("one", "blocks.0.hook_resid_post").train.widths == (32, 64)


def test_several_mistakes_are_all_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, GOOD + "  tokens: -1\n  batch_size: x\n")
    assert len(str(caught.value).splitlines()) == 2


def test_numbers_are_yaml_1_2(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + "  learning_rate: 1e-3\n").train.learning_rate == 1e-3


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot read"):
        load_sweep([Path("nowhere.yaml")])


def test_a_bad_config_ends_with_status_2(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(GOOD + "trian: {}\n")
    command = [sys.executable, "-m", "interpsweep", "plan", str(bad)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "bad.yaml:8: trian: no such key" in result.stderr and "Traceback" not in result.stderr


LIGHT = [
    "interpsweep.workflow",
    "interpsweep.jobs",
    "interpsweep.results",
    "interpsweep.driver",
    "interpsweep.cli",
    # what the Snakefile's driver imports while it plans
    "interpsweep.commands.preflight",
    "interpsweep.plan.resources",
    "interpsweep.profiles",
    "interpsweep.slurm",
]


@pytest.mark.parametrize("module", LIGHT)
def test_the_ground_floor_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('torch', 'numpy', 'pandas', 'zarr', 'transformers') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


ANALYSIS = ["interpsweep.matching.match", "interpsweep.matching.tree", "interpsweep.geometry.geometry",
            "interpsweep.geometry.concepts", "interpsweep.claims.claims", "interpsweep.figures.draw",
            "interpsweep.report.report", "interpsweep.report.bundle"]  # fmt: skip


def test_analysis_and_pictures_never_import_torch() -> None:
    code = (
        "import importlib, sys\n"
        f"for module in {ANALYSIS}:\n"
        "    importlib.import_module(module)\n"
        "    assert 'torch' not in sys.modules, module"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
