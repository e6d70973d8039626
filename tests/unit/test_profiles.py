from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from interpsweep.errors import UserError
from interpsweep.profiles import Profile, read_profile
from interpsweep.stages import STAGES

ROOT = Path(__file__).parents[2]
PROFILES = sorted((ROOT / "profiles").iterdir())
GPU = frozenset({"model", "capture", "train", "evaluate", "encode"})


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


@pytest.mark.parametrize("name", ["default", "slurm", "slurm-preempt"])
def test_a_profile_names_rules_that_exist(name: str) -> None:
    rules = {
        rule
        for path in (ROOT / "workflow/rules").glob("*.smk")
        for rule in re.findall(r"^rule (\w+):", path.read_text(), flags=re.MULTILINE)
    }
    assert settings(name)["set-resources"].keys() <= rules


def test_partitions_and_gpus_are_in_profiles_only() -> None:
    for path in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]:
        assert not re.search(r"partition|account|\bgres|gpu|constraint=", path.read_text())


def test_no_shell_stands_between_slurm_and_a_worker() -> None:
    """A shell would die of the SIGTERM that lets the worker save, and SLURM then kills the rest."""
    for stage in STAGES:
        found = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
        assert any(f'"exec python -m interpsweep {stage} --spec' in text for text in found), stage


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
