"""Planning in process: what Snakemake would run after an edit, without running anything.

`finish` pretends that a sweep is built by writing a manifest for each of its items, which is all
that existence means; `planned` asks Snakemake itself.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from interpsweep import driver
from interpsweep.plan import Plan
from interpsweep.store import Store
from interpsweep.store.layout import MANIFEST

SNAKEFILE = Path(__file__).parents[2] / "Snakefile"

BASE: dict[str, Any] = {
    "sweep": "tiny",
    "label": "a note",
    "models": [
        {
            "name": "one",
            "source": "trained",
            "architecture": {"n_layers": 2, "d_model": 16, "n_heads": 2, "d_mlp": 32},
            "sites": ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"],
        }
    ],
    "corpus": {"source": "generated", "n_tokens": 10000},
    "train": {"widths": [32, 64], "sparsities": [4], "seeds": [0, 1], "tokens": 10000},
}


class Folder:
    """A working folder with one config file."""

    def __init__(self, root: Path) -> None:
        self.config = root / "sweep.yaml"

    def write(self, data: dict[str, Any]) -> None:
        text = io.StringIO()
        YAML().dump(data, text)
        self.config.write_text(text.getvalue())

    def plan(self) -> Plan:
        return driver.plan_sweep([self.config])

    def finish(self) -> Plan:
        """Pretend that everything the sweep means is built, figures and readable files included."""
        plan, store = self.plan(), Store()
        driver.write_specs(plan, store)
        for item in plan.items.by_digest.values():
            folder = store.path(item.spec, item.digest)
            folder.mkdir(parents=True, exist_ok=True)
            files = {}
            if item.stage == "figures":
                for name in ("figure.svg", "figure.png"):
                    (folder / name).write_text(item.digest)
            manifest = {"digest": item.digest, "spec": item.spec, "files": files, "metrics": {}}
            (folder / MANIFEST).write_text(json.dumps(manifest))
        driver.prepare(plan, store)
        return plan


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interpsweep.workflow.only_looks", lambda _arguments: True)
    return Folder(tmp_path)


@pytest.fixture
def base() -> dict[str, Any]:
    return deepcopy(BASE)


@pytest.fixture
def planned() -> Callable[[Folder], set[tuple[str, str]]]:
    return _planned


def _planned(folder: Folder) -> set[tuple[str, str]]:
    """(rule, digest or path) of every job that Snakemake would run."""
    return {
        (job.rule.name, job.wildcards_dict.get("digest") or str(next(iter(job.output), "")))
        for dag in _dag(folder)
        for job in dag.needrun_jobs()
    }


@pytest.fixture
def requested() -> Callable[..., dict[str, int]]:
    return _requested


def _requested(folder: Folder, set_resources: dict[str, dict[str, int]]) -> dict[str, int]:
    """Minutes that a job of each rule asks for, with a profile's `set-resources`."""
    jobs = [job for dag in _dag(folder, set_resources) for job in dag.needrun_jobs()]
    return {
        job.rule.name: job.resources["runtime"] for job in jobs if "digest" in job.wildcards_dict
    }


def _dag(folder: Folder, set_resources: dict[str, dict[str, int]] | None = None) -> Iterator[Any]:
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
