"""Running a job: the items of it that are missing, each under a lease, each published when done.

A job file (``store/.specs/<digest>.json``) names a stage and item digests; `run_job` is what every
rule of the workflow calls, and what a user calls by hand to repeat one. An item that cannot be made
costs the job nothing but that item (`store/failures.py`); what is of the machine (its disk, its
memory, a signal) ends the job, which is then to be run again.
"""

from __future__ import annotations

import importlib
import json
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from interpsweep.context import Context, Inputs, Item, Stopped
from interpsweep.errors import UserError, disk_full, no_room, of_the_machine, out_of_memory
from interpsweep.spec import Spec, canonical_json
from interpsweep.stages import STAGES, Stage
from interpsweep.store import Store, failures
from interpsweep.store.attempt import open_attempt
from interpsweep.store.history import Record
from interpsweep.store.layout import write_atomic
from interpsweep.store.lease import Lease, describe

POLL = 2.0  # seconds between looks at an item that another job is making


def run_job(
    store: Store, job_file: Path, index: Path | None = None, stage: str = "", threads: int = 0
) -> None:
    """Make the missing items of a job, then write its index file.

    The index names the items that could not be made as well; without one they are a UserError.
    `threads` are those that Snakemake granted, if it did: they are shared by the workers.
    Raises UserError for anything the user can fix (also if the job is not of `stage`, when that
    is given) and `Stopped` after a SIGTERM that a stage answered with a checkpoint.
    """
    try:
        job = json.loads(job_file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{job_file}: not a job file: {error}") from None
    if "items" not in job:
        raise UserError(f"{job_file}: this is one item; `--spec` takes the job that makes it")
    if stage not in ("", job["stage"]):
        raise UserError(f"{job_file}: this is a {job['stage']} job, not a {stage} job")
    digest = job_file.stem
    kind = STAGES[job["stage"]]
    context = _context(_granted(job.get("run", {}), threads), store.progress_path(digest), digest)
    record = Record(store, digest)
    context.stop_on_signals(record.told_to_stop)
    planned = [item for item in job["items"] if not store.exists(item)]
    missing = planned
    failure: BaseException | None = None
    failed: dict[str, str] = {}  # item -> why it cannot be made
    try:
        to_make = _to_make(store, planned, failed, context)
        while missing := [m for m in to_make.values() if not (m in failed or store.exists(m))]:
            _work_through(store, kind, missing, failed, context)
            if context.stopping:
                raise Stopped(f"{kind.name}: stopped on request; run the same command to continue")
        for item, made in to_make.items():
            if made != item:  # it stands in, or has failed in its place
                failures.write(store, failures.Failure(item, failed.get(made, ""), item, made))
        if failed:
            failure = UserError("; ".join(dict.fromkeys(failed.values())))
    except BaseException as error:
        failure = error
        making = ", ".join(str(store.find(item)) for item in missing[:3])
        if disk_full(error):
            raise no_room(store.root, f" while making {making}") from error
        if out_of_memory(error):
            raise UserError(
                f"{kind.name}: out of memory while making {making} ({error}). Take a machine with "
                "more (a cluster is asked for more at the next attempt), or make less at once: "
                "run.pack, run.workers, and the stage's own batch settings"
            ) from error
        raise
    finally:
        context.finish()
        record.ended(failure, [item for item in planned if store.exists(item)])
    if index is not None:
        write_atomic(index, canonical_json(job_index(store, digest)) + "\n")
    elif failure is not None:
        raise failure


def _to_make(
    store: Store, planned: list[str], failed: dict[str, str], context: Context
) -> dict[str, str]:
    """Planned item -> the item to make of it; what lacks an input that failed goes to `failed`."""
    found: dict[str, str] = {}
    for item in planned:
        made = failures.resolve(store, item)
        if isinstance(made, failures.Failure):
            failures.write(store, made)
            failed[item] = made.reason
            context.log(f"cannot make {store.find(item)}: it needs what failed: {made.reason}")
        else:
            found[item] = made
    return found


def _granted(run: dict[str, Any], threads: int) -> dict[str, Any]:
    """`run` with the threads and workers that fit into `threads`, if it is not 0."""
    if not threads:
        return run
    if run.get("engine") in ("serial", "dask-slurm"):  # its workers, if any, are no threads of ours
        return {**run, "threads": threads}
    workers = min(run.get("workers", 1), threads)
    return {**run, "workers": workers, "threads": threads // workers}


def _context(run: dict[str, Any], progress: Path, job: str) -> Context:
    """What the stage gets; `run` is what the planner wrote down for the job."""
    run = dict(run)
    outside: dict[str, Callable[[], Path]] = {}
    if externals := run.pop("externals", {}):
        from interpsweep.lock import openers  # most jobs have no input from outside

        outside = openers(externals)
    return Context(**run, outside=outside, progress=progress, job=job)


def _work_through(
    store: Store, stage: Stage, missing: list[str], failed: dict[str, str], context: Context
) -> None:
    """Make what can be leased of `missing`; if all of it is in other hands, wait a little."""
    run = importlib.import_module(stage.module).run
    items: list[Item] = []
    try:
        for digest in missing:
            item = _claim(store, digest, context)
            items += [] if item is None else [item]
            if item is not None and not stage.bank:
                _try(item, partial(_make, run, item, context), context)
                item.abandon()
            if context.stopping:
                break
        if items and stage.bank:
            _make_bank(store, run, items, context)
            if not context.stopping:  # else it would be called again and again
                left = [i.digest for i in items if not (i.failed or store.exists(i.digest))]
                assert not left, f"{stage.name} returned without publishing {left}"
    finally:
        for item in items:
            item.abandon()
    failed |= {item.digest: item.failed for item in items if item.failed}
    if not items:
        time.sleep(POLL)


def _make(run: Callable[..., dict[str, Any]], item: Item, context: Context) -> None:
    item.publish(run(item.spec, item.inputs, item.out, context))


def _make_bank(store: Store, run: Callable[..., None], items: list[Item], context: Context) -> None:
    """Make items together; if that goes wrong for one of them, those that are left one by one."""
    left = items
    if len(items) > 1:
        try:
            return run(items, context)
        except Exception as error:
            left = [item for item in items if not (item.failed or store.exists(item.digest))]
            if not left or _ends_the_job(error):
                raise
            context.log(f"{error}: the items that are left are made one by one")
    for item in left:
        _try(item, partial(run, [item], context), context)
        if context.stopping:
            break
    return None


def _try(item: Item, make: Callable[[], None], context: Context) -> None:
    """Make an item; what goes wrong with it is written down and costs no other."""
    try:
        make()
    except Exception as error:
        if _ends_the_job(error):
            raise
        if isinstance(error, UserError):
            item.fail(str(error))
        else:
            context.log(traceback.format_exc())
            item.fail(f"{type(error).__name__}: {error}")


def _ends_the_job(error: Exception) -> bool:
    return isinstance(error, Stopped) or of_the_machine(error)


def _claim(store: Store, digest: str, context: Context) -> Item | None:
    """Lease an item; None if another live job holds it or it is there by now."""
    spec = store.read_spec(digest)
    lease = Lease(store.lease_path(digest), digest)
    holder = lease.acquire()
    if holder is not None:
        who = describe(holder)
        context.log_once(f"{store.path(spec, digest)}: being made by {who}; waiting")
        return None
    if store.exists(digest):
        lease.release()
        return None
    try:
        inputs = find_inputs(store, spec)
        return Item(digest, spec, inputs, open_attempt(store, digest), store, lease, context)
    except BaseException:
        lease.release()
        raise


def find_inputs(store: Store, spec: Spec) -> Inputs:
    """The folders of an item's inputs. Raises UserError if one is missing or reclaimed."""

    def locate(digest: str) -> Path:
        path = store.find(digest)
        if not store.exists(digest):
            raise UserError(f"{path}: this input of {spec['stage']} is missing; run the sweep")
        if store.manifest(digest).get("reclaimed"):
            raise UserError(f"{path}: its data were reclaimed; run the sweep to make them again")
        return path

    return {
        role: [locate(d) for d in wanted] if isinstance(wanted, list) else locate(wanted)
        for role, wanted in spec["inputs"].items()
    }


def job_index(store: Store, digest: str) -> dict[str, Any]:
    """What Snakemake sees of a finished job: a small file that names its items."""
    job = store.read_spec(digest)
    return {"job": digest, "stage": job["stage"], "items": [_said(store, i) for i in job["items"]]}


def _said(store: Store, item: str) -> dict[str, Any]:
    """What there is of an item: folder and metrics, of what stands in if it does; or why not."""
    found = failures.present(store, item)
    if not found:
        failure = failures.read(store, item)
        return {"digest": item, "failed": failure.reason if failure else "not made"}
    place = store.find(found).relative_to(store.root).as_posix()
    said = {"digest": item, "path": place, "metrics": store.manifest(found)["metrics"]}
    return said if found == item else {**said, "instead": found}
