"""What Snakemake's own command line says is obeyed or refused in one line."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import SNAKEFILE

from interpsweep.errors import UserError
from interpsweep.options import given_options, refuse
from interpsweep.stages import STAGES
from interpsweep.workflow import SweepView
from places import Place


def looked(place: Place, *arguments: str, status: int = 0) -> str:
    """What `snakemake -n` says."""
    command = [sys.executable, "-m", "snakemake", "-n", *arguments]
    result = subprocess.run(
        command, cwd=place.root, env=place.environment, capture_output=True, text=True, check=False
    )
    text = result.stdout + result.stderr
    assert result.returncode == status, text
    return text


def trained(place: Place) -> set[tuple[int, int]]:
    """(width, seed) of the SAEs that the last look planned."""
    specs = [json.loads(path.read_text()) for path in (place.root / "store/.specs").glob("*.json")]
    settings = [
        spec["settings"] for spec in specs if spec.get("stage") == "train" if "inputs" in spec
    ]
    shutil.rmtree(place.root / "store")
    return {(one["d_sae"], one["seed"]) for one in settings}


@pytest.fixture
def place(tmp_path: Path, base: dict[str, Any]) -> Place:
    place = Place(tmp_path)
    (place.root / "sweep.yaml").write_text(json.dumps(base))
    return place


def test_snakemakes_config_is_laid_over_the_files(place: Place) -> None:
    files = ("--configfile", "sweep.yaml")
    looked(place, *files)
    assert len(trained(place)) > 1
    text = looked(place, *files, "--config", "train={widths: [48], seeds: [7]}", "sweep=mine")
    assert trained(place) == {(48, 7)} and "results/mine/" in text
    looked(place, "--config", "configfile=sweep.yaml", "train={widths: [48], seeds: [7]}")
    assert trained(place) == {(48, 7)}
    for wrong, said in (
        ("nonsense=3", "--config nonsense:1: nonsense: no such key"),
        ("train={widhts: [32]}", "did you mean 'widths'?"),
    ):
        text = looked(place, *files, "--config", wrong, status=2)
        assert said in text and "Traceback" not in text


REFUSED = {
    "-R train": "--forcerun: .* nothing is made twice",
    "-R store/.jobs/train/x-0.json": "--forcerun: .* nothing is made twice",
    "-f": "--force: .*interpsweep verify",
    "-F": "--forceall: .*interpsweep verify",
    "--touch": "--touch: .*nothing to touch",
    "--executor touch": "--executor: ",
    "--no-hooks": "--no-hooks: .*leave it out",
    "--groups train=one": "--groups: .*run.pack",
    "--cache": "--cache: store/ is the cache",
    "--cache train": "--cache: store/ is the cache",
    "--all-temp": "--all-temp: .*until_trained",
    "--delete-all-output": "--delete-all-output: .*interpsweep gc",
    "--unneeded-temp-files x": "--unneeded-temp-files: ",
    "--default-storage-provider s3": "--default-storage-provider: .*a file system that they share",
    "--shared-fs-usage none": "--shared-fs-usage: ",
    "--shared-fs-usage persistence sources": "--shared-fs-usage: ",
    "--immediate-submit": "--immediate-submit: ",
    "--generate-unit-tests": "--generate-unit-tests: ",
    "--export-cwl x": "--export-cwl: ",
    "--set-scatter a=2": "--set-scatter: ",
    "--edit-notebook x": "--edit-notebook: ",
    "--draft-notebook x": "--draft-notebook: ",
    "--containerize": "--containerize: .*Dockerfile",
    "--set-threads trian=2": "--set-threads trian: no rule .* 'train'",
    "--set-threads train=x": "--set-threads train: x is not a number",
    "--set-resources trian:mem_mb=2": "--set-resources trian: no rule .* 'train'",
    "--set-resources train:slurm_partition=all": "slurm_partition: all is a word of Python",
    "--default-resources slurm_partition=max": "slurm_partition: max is a word of Python",
    "--omit-from trian": "--omit-from trian: no rule .* 'train'",
    "--consider-ancient trian=0": "--consider-ancient trian: no rule",
    "--batch al=1/2": "--batch al: no rule .* 'all'",
    "--nonsense": "Snakemake's options: .*--nonsense",
    "--until": "Snakemake's options: .*--until",
}
OBEYED = (
    *("-R listing", "--groups mine=one", "--set-threads train=2", "--batch all=1/2", "-n"),
    *("--default-storage-provider none", "--executor slurm", "--omit-from all_trees a/file.json"),
    "--set-resources train:slurm_partition=\"'all'\"",
)


def no_profile(text: str) -> list[str]:
    return ["--workflow-profile", "none", *shlex.split(text)]


@pytest.mark.parametrize("text", REFUSED)
def test_what_a_sweep_cannot_honour_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match=REFUSED[text]) as found:
        refuse(given_options(no_profile(text)), STAGES, alone=True)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("text", OBEYED)
def test_what_a_sweep_can_honour_is_not_refused(text: str) -> None:
    refuse(given_options(no_profile(text)), STAGES, alone=True)


def test_a_profile_is_read_as_the_command_line_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SNAKEFILE, tmp_path)
    Path("config.yaml").write_text("touch: true\n")
    with pytest.raises(UserError, match="--touch: "):
        refuse(given_options(["--workflow-profile", "."]), STAGES, alone=True)


@pytest.mark.parametrize(
    "text", ["-f", "-F", "-R mine", "--set-threads mine=3", "--set-scatter a=2"]
)
def test_rules_of_a_user_take_what_a_sweep_alone_does_not(text: str) -> None:
    options = given_options(no_profile(text))
    refuse(options, STAGES, alone=False)
    if text != "-R mine":  # Snakemake itself misses it
        with pytest.raises(UserError):
            refuse(options, STAGES, alone=True)


def test_renamed_stages_are_known_by_their_names() -> None:
    options = given_options(no_profile("-R sweep_train"))
    with pytest.raises(UserError, match="--forcerun"):
        refuse(options, {f"sweep_{stage}" for stage in STAGES}, alone=False)


def test_every_option_of_snakemake_is_in_the_documentation() -> None:
    from snakemake.cli import get_argument_parser

    text = (SNAKEFILE.parent / "docs/snakemake.md").read_text()
    table = text[text.index("## Snakemake's options") : text.index("## When something")]
    options = "".join(line.split("|")[1] for line in table.splitlines() if line[:1] == "|")
    families = tuple(re.findall(r"`(--[a-z]+-)\.\.\.`", options))
    named = set(re.findall(r"--[a-z][a-z0-9-]+", options))
    actions = get_argument_parser()._actions
    known = [[word for word in one.option_strings if word.startswith("--")] for one in actions]
    missing = [
        words
        for words in known
        if words and not named.intersection(words) and not words[0].startswith(families)
    ]
    assert missing == []
    assert named <= {word for words in known for word in words} | set(families)


def test_both_ways_refuse_and_both_obey(place: Place) -> None:
    files = ("--configfile", "sweep.yaml")
    said = looked(place, *files, "--touch", status=2)
    assert "interpsweep: --touch: " in said and "Traceback" not in said
    assert "interpsweep: --touch: " in place.run("run", "sweep.yaml", "--", "--touch", status=2)
    for taken in ("--configfile other.yaml", "--profile x", "--workflow-profile x", "-d x", "-s x"):
        said = place.run("run", "sweep.yaml", "--", *taken.split(), status=2)
        assert ("Traceback" not in said and "before `--`" in said) or "start" in said
    assert not (place.root / "store/.jobs").exists()
    one = looked(place, *files, "--until", "corpus")
    other = place.run("run", "sweep.yaml", "--", "-n", "--until", "corpus")
    for text in (one, other):
        assert re.findall(r"^(\w+) +\d+$", text, flags=re.MULTILINE) == ["corpus", "total"] * 2
    text = looked(place, *files, "--omit-from", "train")
    assert not re.search(r"^(train|encode|claims) +\d", text, flags=re.MULTILINE)
    assert re.search(r"^concepts +\d", text, flags=re.MULTILINE)
    place.run("run", "sweep.yaml", "--", "-n", "--config", "train={widths: [48], seeds: [7]}")
    assert (48, 7) in trained(place)


def test_a_look_from_elsewhere(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With `--snakefile` and `--directory` the folder of the sweep is where it would be."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    there = ("--snakefile", str(place.root / "Snakefile"), "--directory", str(place.root))
    command = [sys.executable, "-m", "snakemake", "-n", *there, "--configfile", "sweep.yaml"]
    shutil.copy(place.root / "sweep.yaml", elsewhere)
    result = subprocess.run(
        command, cwd=elsewhere, env=place.environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (place.root / "store/.specs").exists() and not (elsewhere / "store").exists()


def test_pictures_of_the_graph_have_every_edge(folder: Any, base: Any) -> None:
    """Of a finished sweep, too, where a run needs none of them."""
    folder.write(base)
    plan = folder.finish()
    job = next(job for job in plan.jobs if job.stage == "claims")
    wildcards = SimpleNamespace(digest=job.digest)
    there = set(plan.items.by_digest)
    assert sum(map(len, SweepView(plan, there).needs(wildcards).values())) == 0
    assert sum(map(len, SweepView(plan, there, whole=True).needs(wildcards).values())) > 3
