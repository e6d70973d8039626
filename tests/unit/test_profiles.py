from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from interpsweep.commands.run import snakemake_command
from interpsweep.errors import UserError
from interpsweep.profiles import Profile, gpu_stages, read_profile
from interpsweep.stages import STAGES

ROOT = Path(__file__).parents[2]
PROFILES = sorted((ROOT / "profiles").iterdir())
GPU = frozenset(name for name, stage in STAGES.items() if stage.gpu)


def settings(name: str) -> dict[str, Any]:
    return YAML(typ="safe").load((ROOT / "profiles" / name / "profile.v9+.yaml").read_text())


@pytest.mark.parametrize("folder", PROFILES, ids=lambda folder: folder.name)
def test_every_profile_lets_existence_decide_and_a_killed_run_go_on(folder: Path) -> None:
    said = settings(folder.name)
    expected = {
        "rerun-triggers": "mtime",
        "nolock": True,
        "rerun-incomplete": True,
        "keep-going": True,
    }
    assert {key: said[key] for key in expected} == expected


@pytest.mark.parametrize("folder", PROFILES, ids=lambda folder: folder.name)
def test_a_profile_gives_a_gpu_to_the_stages_that_profit(folder: Path) -> None:
    given = settings(folder.name)["set-resources"]
    assert given.keys() == GPU and all(resources["gpu"] == 1 for resources in given.values())


@pytest.mark.parametrize("rule", ["model", "train", "meta", "probe"])
def test_a_gpu_that_a_profile_gives_to_any_stage_is_counted_on(rule: str) -> None:
    assert gpu_stages({rule: {"gpu": 1}}) == {rule}


def test_rules_that_a_module_renamed_are_known_by_their_stage() -> None:
    given = {"sweep_train": {"gpu": 1}, "encode": {"gpu": 1}}
    assert gpu_stages(given, "sweep_{}".format) == {"train"}


def test_partitions_and_gpus_are_in_profiles_only() -> None:
    for path in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]:
        assert not re.search(r"partition|account|\bgres|gpu|constraint=", path.read_text())


def test_no_shell_stands_between_slurm_and_a_worker() -> None:
    """A shell would die of the SIGTERM that lets the worker save, and SLURM then kills the rest."""
    text = (ROOT / "workflow/rules/stages.smk").read_text()
    assert re.findall(r"shell:\s+\"(\w+ \w+ -m interpsweep) ", text) == [
        "exec python -m interpsweep"
    ]


def test_the_profile_for_preemptible_gpus_differs_in_their_partition_only() -> None:
    one, other = settings("slurm"), settings("slurm-preempt")
    for given in one["set-resources"].values():
        given["slurm_partition"] = "preemptible"
    assert one == other


def test_what_matters_of_a_profile_is_read() -> None:
    path = ROOT / "profiles/default/profile.v9+.yaml"
    assert read_profile(str(path.parent)) == Profile(path, gpu_stages=GPU)
    slurm = read_profile(str(ROOT / "profiles/slurm"))
    assert (slurm.cluster, slurm.executor, slurm.jobs, slurm.gpu_stages) == (True, "slurm", 50, GPU)


def test_a_profile_that_is_not_there_is_named_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=r"profiles/slrum: no profile here.*profiles/slurm"):
        read_profile("profiles/slrum")


@pytest.mark.parametrize("text", ["a: [", "- a\n- b\n"])
def test_a_damaged_profile_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml"):
        read_profile(str(tmp_path))


FORMS = {
    "mapping": "set-resources: {train: {gpu: 1}}",
    "text of a rule": "set-resources: {train: gpu=1}",
    "texts of a rule": "set-resources: {train: [gpu=1, mem_mb=4000]}",
    "list": "set-resources: ['train:gpu=1', 'claims:mem_mb=100']",
    "text": "set-resources: train:gpu=1",
}


@pytest.mark.parametrize("form", FORMS)
def test_resources_are_read_in_every_form_that_snakemake_takes(tmp_path: Path, form: str) -> None:
    (tmp_path / "config.yaml").write_text(FORMS[form] + "\n")
    assert read_profile(str(tmp_path)).gpu_stages == {"train"}


@pytest.mark.parametrize("word", ["all", "max"])
@pytest.mark.parametrize(
    "text",
    ["default-resources: {slurm_partition: %s}", "set-resources: {train: slurm_partition=%s}"],
)
def test_a_partition_that_is_a_word_of_python_is_named(
    tmp_path: Path, text: str, word: str
) -> None:
    (tmp_path / "config.yaml").write_text(text % word)
    with pytest.raises(UserError, match=f"slurm_partition: {word} is a word of Python"):
        read_profile(str(tmp_path))
    (tmp_path / "config.yaml").write_text(text % f"\"'{word}'\"" if "{slurm" in text else "jobs: 3")
    read_profile(str(tmp_path))


def test_the_profile_of_the_shell_is_not_read() -> None:
    command = snakemake_command([Path("a.yaml")], 1, "all", str(ROOT / "profiles/default"))
    assert command[command.index("--profile") + 1] == "none"
