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
    (ROOT / "config/sweeps").glob("*.yaml")
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
BAD_SITE = """sweep: s
models:
  - {{name: one, source: trained, sites: [{{site: hook_embed, overrides: {{{}}}}}]}}
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


def test_the_small_overlay_fits_its_sweep() -> None:
    overlay = ROOT / "config/overlays/minilm-small.yaml"
    small = load_sweep([ROOT / "config/sweeps/minilm.yaml", overlay])
    assert small.sweep == "minilm-small" and small.corpus.source == "mix"


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


BAD = [
    ("unknown key", GOOD + "trian: {}\n", r"0\.yaml:8: trian: no such key; did you mean 'train'\?"),
    ("unknown inner key", GOOD + "  width: [1]\n", r"0\.yaml:8: train\.width: no such key; did you mean 'widths'\?"),
    ("missing key", "sweep: a\n", r"models: this key is required"),
    ("wrong type", GOOD + "  tokens: many\n", r"0\.yaml:8: train\.tokens: .*valid integer.*'many'"),
    ("out of range", GOOD + "corpus: {source: generated, n_tokens: -5}\n", r":8: corpus\.n_tokens: .*greater"),
    ("text for a number", GOOD + "  learning_rate: '1e-3x'\n", r"train\.learning_rate"),
    ("unknown source", GOOD + "corpus: {source: wikipedia}\n", r"0\.yaml:8: corpus.*'wikipedia'|source"),
    ("unknown source of a model", GOOD.replace("trained", "magic"), r"0\.yaml:\d+: models\[0\]"),
    ("bad hook name", GOOD.replace("[blocks.0.hook_resid_post]", "['blocks 0']"), r"models\[0\]\.sites: .*cannot be"),
    ("a site twice", GOOD.replace("[blocks.0.", "[hook_embed, hook_embed, blocks.0."), r"named twice"),
    ("a width twice", GOOD.replace("[32, 64]", "[32, 32]"), r"0\.yaml:\d+: train: .*same SAE"),
    ("an empty axis", GOOD + "  seeds: []\n", r"train: .*empty"),
    ("no SAEs at all", GOOD.replace("[32, 64]", "[]"), r"has no SAEs at blocks.0.hook_resid_post: train.widths is empty"),
    ("an import without its site", GOOD.replace("train:\n", "    saes: [{path: a, site: blocks.1.hook_resid_post}]\ntrain:\n"), r"saes\[0\]: .blocks.1.hook_resid_post. is not among the sites"),
    ("unknown architecture", GOOD + "  architectures: [topq]\n", r"did you mean 'topk'"),
    ("k above the width", GOOD + "  sparsities: [64]\n", r"sparsity 64 is more than all 32"),
    ("hostile name", GOOD.replace("sweep: tiny", "sweep: ../../etc"), r"0\.yaml:1: sweep: .*pattern"),
    ("shell in a name", GOOD.replace("name: one", 'name: "x; touch pwned"'), r"models\[0\]\.name"),
    ("python tag", GOOD + "label: !!python/object/apply:os.system ['touch pwned']\n", r"0\.yaml:8: label: YAML tags"),
    ("a list at the top", "- a\n- b\n", r"0\.yaml:1: a configuration is a mapping"),
    ("not YAML", "sweep: [a\n", r"0\.yaml:\d+: not valid YAML"),
    ("a key twice", GOOD + "sweep: other\n", r"0\.yaml:8: not valid YAML: .*duplicate"),
    ("two models of one name", GOOD.replace("train:", "  - {name: one, source: trained, sites: [hook_embed]}\ntrain:"), r"two models are called 'one'"),
    ("generated text for a pretrained model", GOOD.replace("source: trained", "source: path\n    path: somewhere"), r"needs a corpus of text"),
    ("unknown figure", GOOD + "figures: {draw: [parato]}\n", r"did you mean 'pareto'"),
    ("bad override of a site", BAD_SITE.format("train: {widht: [3]}"), r"overrides of 'one' at hook_embed: train\.widht"),
    ("a corpus for one site", BAD_SITE.format("corpus: {seed: 3}"), r"at hook_embed: all sites of a model read one"),
    ("bad override", GOOD.replace("    sites", "    overrides: {train: {widht: [3]}}\n    sites"), r"overrides of 'one': train\.widht"),
    ("heads that do not divide", GOOD.replace("    sites", "    architecture: {d_model: 30, n_heads: 4}\n    sites"), r"multiple of n_heads"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_mistakes_are_named_with_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, text)
    assert not (tmp_path / "pwned").exists()


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
    "interpsweep.face",
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


@pytest.mark.parametrize("module", ANALYSIS)
def test_analysis_and_pictures_never_import_torch(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
