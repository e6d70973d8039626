"""Planning in process: what Snakemake would run after an edit, without running anything.

`Folder.finish` pretends that a sweep is built by writing a manifest for each of its items, which is
all that existence means; `planned` asks Snakemake itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from edits import trained
from folder import Folder

SNAKEFILE = Path(__file__).parents[2] / "Snakefile"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interpsweep.options.only_looks", lambda _arguments: True)
    return Folder(tmp_path)


@pytest.fixture
def base() -> dict[str, Any]:
    return trained()


@pytest.fixture
def planned() -> Callable[[Folder], set[tuple[str, str]]]:
    return _planned


def _planned(folder: Folder) -> set[tuple[str, str]]:
    """(rule, digest or path) of every job that Snakemake would run."""
    return {
        (job.rule.name, job.wildcards_dict.get("digest") or str(next(iter(job.output), "")))
        for dag in build(folder)
        for job in dag.needrun_jobs()
    }


@pytest.fixture
def requested() -> Callable[..., dict[str, int]]:
    return _requested


def _requested(folder: Folder, set_resources: dict[str, dict[str, int]]) -> dict[str, int]:
    """Minutes that a job of each rule asks for, with a profile's `set-resources`."""
    jobs = [job for dag in build(folder, set_resources) for job in dag.needrun_jobs()]
    return {
        job.rule.name: job.resources["runtime"] for job in jobs if "digest" in job.wildcards_dict
    }


def build(folder: Folder, set_resources: dict[str, dict[str, int]] | None = None) -> Iterator[Any]:
    # Snakemake has no public call for "what would run"; these private ones are used here only
    from snakemake.api import SnakemakeApi
    from snakemake.settings import types as s

    with SnakemakeApi(s.OutputSettings(quiet={s.Quietness.ALL})) as api:
        dag = api.workflow(
            resource_settings=s.ResourceSettings(cores=1, overwrite_resources=set_resources or {}),
            config_settings=s.ConfigSettings(configfiles=[folder.config]),
            storage_settings=s.StorageSettings(),
            snakefile=SNAKEFILE,
            workdir=folder.config.parent,
        ).dag(s.DAGSettings(rerun_triggers=frozenset({s.RerunTrigger.MTIME})))
        workflow = dag.workflow_api._workflow
        workflow.dag_settings = dag.dag_settings
        workflow.execution_settings = s.ExecutionSettings()
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        yield workflow.dag
