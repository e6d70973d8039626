from __future__ import annotations

import json
import operator
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dask.distributed import get_client

from interpsweep.blockmap import block_map
from interpsweep.context import Context, Stopped
from interpsweep.errors import UserError
from interpsweep.jobs import run_job
from interpsweep.spec import digest
from interpsweep.stages import STAGES
from interpsweep.store import Store


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Store, Path]]:
    """A store with one job of a stage whose `run` is given."""

    def build(run: Any, bank: bool, items: int = 3) -> tuple[Store, Path]:
        module = types.ModuleType("stage_under_test")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "stage_under_test", module)
        stage = replace(STAGES["tree"], module="stage_under_test", bank=bank)
        monkeypatch.setitem(STAGES, "tree", stage)
        store = Store(tmp_path / "store")
        (store.root / ".specs").mkdir(parents=True, exist_ok=True)
        digests = [
            store.write_spec({"stage": "tree", "version": 1, "settings": {"seed": i}, "inputs": {}})
            for i in range(items)
        ]
        job = store.spec_path(digest({"stage": "tree", "items": digests}))
        job.write_text(json.dumps({"stage": "tree", "items": digests, "run": {}}))
        return store, job

    return build


def write_seed(spec: dict, inputs: dict, out: Path, ctx: Context) -> dict[str, Any]:
    (out / "seed.txt").write_text(str(spec["settings"]["seed"]))
    return {"seed": spec["settings"]["seed"]}


def test_a_job_makes_its_items_and_then_the_index(sweep: Any, tmp_path: Path) -> None:
    store, job = sweep(write_seed, bank=False)
    run_job(store, job, tmp_path / "index.json")
    index = json.loads((tmp_path / "index.json").read_text())
    assert [item["metrics"]["seed"] for item in index["items"]] == [0, 1, 2]
    assert index["job"] == job.stem


def test_a_job_skips_what_is_there(sweep: Any) -> None:
    made: list[int] = []

    def run(spec: dict, inputs: dict, out: Path, ctx: Context) -> dict[str, Any]:
        made.append(spec["settings"]["seed"])
        if made == [0, 1]:
            raise OSError("the machine went away")
        return write_seed(spec, inputs, out, ctx)

    store, job = sweep(run, bank=False)
    with pytest.raises(OSError):
        run_job(store, job)
    run_job(store, job)
    run_job(store, job)
    assert made == [0, 1, 1, 2]


def test_a_bank_publishes_each_item_when_it_is_done(sweep: Any) -> None:
    def run(items: list, ctx: Context) -> None:
        for item in items[:2]:
            item.publish(write_seed(item.spec, item.inputs, item.out, ctx))
        if len(items) == 3:
            raise OSError("killed")
        for item in items[2:]:
            item.publish({})

    store, job = sweep(run, bank=True)
    with pytest.raises(OSError):
        run_job(store, job)
    specs = json.loads(job.read_text())["items"]
    assert [store.exists(item) for item in specs] == [True, True, False]
    run_job(store, job)
    assert all(store.exists(item) for item in specs)


def test_a_stop_is_not_a_success(sweep: Any, tmp_path: Path) -> None:
    def run(spec: dict, inputs: dict, out: Path, ctx: Context) -> dict[str, Any]:
        ctx.stopping = True
        return {}

    store, job = sweep(run, bank=False)
    with pytest.raises(Stopped):
        run_job(store, job, tmp_path / "index.json")
    assert not (tmp_path / "index.json").exists()


def test_missing_inputs_are_named(sweep: Any) -> None:
    store, job = sweep(write_seed, bank=False, items=1)
    upstream = store.write_spec({"stage": "corpus", "version": 1, "settings": {}, "inputs": {}})
    item = store.write_spec(
        {"stage": "tree", "version": 1, "settings": {}, "inputs": {"corpus": upstream}}
    )
    job.write_text(json.dumps({"stage": "tree", "items": [item], "run": {}}))
    with pytest.raises(UserError, match=r"corpora/corpus-.*missing"):
        run_job(store, job)


def test_a_job_of_another_stage_is_refused(sweep: Any) -> None:
    store, job = sweep(write_seed, bank=False)
    with pytest.raises(UserError, match="this is a tree job"):
        run_job(store, job, stage="match")


def test_an_item_is_no_job(sweep: Any) -> None:
    store, job = sweep(write_seed, bank=False)
    item = json.loads(job.read_text())["items"][0]
    with pytest.raises(UserError, match="this is one item"):
        run_job(store, store.spec_path(item))


def test_a_bank_that_forgets_an_item_is_noticed(sweep: Any) -> None:
    store, job = sweep(lambda items, ctx: None, bank=True)
    with pytest.raises(AssertionError, match="without publishing"):
        run_job(store, job)


def square(x: int) -> int:
    return x * x


@pytest.mark.parametrize("engine", ["serial", "threads", "processes"])
def test_block_maps_agree_and_keep_the_order(engine: Any) -> None:
    assert list(block_map(square, range(7), engine=engine, workers=2)) == [i * i for i in range(7)]


def test_a_dask_cluster_gives_the_same() -> None:
    # a function of the standard library, since the workers do not know this module
    assert list(block_map(operator.neg, range(5), engine="dask", workers=1)) == [0, -1, -2, -3, -4]


def test_a_job_starts_its_dask_workers_once() -> None:
    context = Context(engine="dask", workers=1)
    first = list(context.block_map(operator.neg, range(3)))
    client = get_client()
    assert list(context.block_map(operator.neg, range(3))) == first == [0, -1, -2]
    assert get_client() is client
    context.finish()
    with pytest.raises(ValueError):
        get_client()


def fail_at_three(x: int) -> int:
    if x == 3:
        raise ValueError("block three")
    return x


@pytest.mark.parametrize("engine", ["serial", "threads"])
def test_a_block_that_fails_is_raised(engine: Any) -> None:
    with pytest.raises(ValueError, match="block three"):
        list(block_map(fail_at_three, range(6), engine=engine, workers=2))


@pytest.mark.parametrize(
    ("run", "granted", "expected"),
    [
        ({"threads": 4, "workers": 1, "engine": "threads"}, 1, (1, 1)),
        ({"threads": 2, "workers": 4, "engine": "threads"}, 2, (1, 2)),
        ({"threads": 2, "workers": 2, "engine": "dask"}, 8, (4, 2)),
        ({"threads": 2, "workers": 9, "engine": "dask-slurm"}, 1, (1, 9)),
        ({"threads": 2, "workers": 2, "engine": "threads"}, 0, (2, 2)),
    ],
)
def test_a_job_uses_the_threads_that_it_is_granted(
    sweep: Any, run: dict, granted: int, expected: tuple[int, int]
) -> None:
    seen = []

    def note(spec: dict, inputs: dict, out: Path, ctx: Context) -> dict[str, Any]:
        seen.append((ctx.threads, ctx.workers))
        return {}

    store, job = sweep(note, bank=False, items=1)
    job.write_text(json.dumps({**json.loads(job.read_text()), "run": run}))
    run_job(store, job, threads=granted)
    assert seen == [expected]
