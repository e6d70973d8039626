"""Running a job: the items of it that are missing, each under a lease, each published when done.

A job file (``store/.specs/<digest>.json``) names a stage and item digests; `run_job` is what every
rule of the workflow calls, and what a user calls by hand to repeat one.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interpsweep.context import Context, Inputs, Item, Stopped
from interpsweep.errors import UserError, disk_full, no_room, out_of_memory
from interpsweep.spec import Spec, canonical_json
from interpsweep.stages import STAGES, Stage
from interpsweep.store import Store
from interpsweep.store.attempt import open_attempt
from interpsweep.store.history import Record
from interpsweep.store.layout import write_atomic
from interpsweep.store.lease import Lease, describe

POLL = 2.0  # seconds between looks at an item that another job is making


def run_job(store: Store, job_file: Path, index: Path | None = None, stage: str = "") -> None:
    """Make the missing items of a job, then write its index file.

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
    context = _context(job.get("run", {}), store.progress_path(digest), digest)
    record = Record(store, digest)
    context.stop_on_signals(record.told_to_stop)
    missing = to_make = [item for item in job["items"] if not store.exists(item)]
    failure: BaseException | None = None
    try:
        while missing := [item for item in job["items"] if not store.exists(item)]:
            _work_through(store, kind, missing, context)
            if context.stopping:
                raise Stopped(f"{kind.name}: stopped on request; run the same command to continue")
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
        record.ended(failure, [item for item in to_make if store.exists(item)])
    if index is not None:
        write_atomic(index, canonical_json(job_index(store, digest)) + "\n")


def _context(run: dict[str, Any], progress: Path, job: str) -> Context:
    """What the stage gets; `run` is what the planner wrote down for the job."""
    run = dict(run)
    outside: dict[str, Callable[[], Path]] = {}
    if externals := run.pop("externals", {}):
        from interpsweep.lock import openers  # most jobs have no input from outside

        outside = openers(externals)
    return Context(**run, outside=outside, progress=progress, job=job)


def _work_through(store: Store, stage: Stage, missing: list[str], context: Context) -> None:
    """Make what can be leased of `missing`; if all of it is in other hands, wait a little."""
    run = importlib.import_module(stage.module).run
    if stage.bank:
        items: list[Item] = []
        try:
            for digest in missing:
                item = _claim(store, digest, context)
                items += [] if item is None else [item]
            if items:
                run(items, context)
                if not context.stopping:  # else it would be called again and again
                    left = [item.digest for item in items if not store.exists(item.digest)]
                    assert not left, f"{stage.name} returned without publishing {left}"
        finally:
            for item in items:
                item.abandon()
    else:
        items = []
        for digest in missing:
            item = _claim(store, digest, context)
            if item is None:
                continue
            items.append(item)
            try:
                item.publish(run(item.spec, item.inputs, item.out, context))
            finally:
                item.abandon()
            if context.stopping:
                break
    if not items:
        time.sleep(POLL)


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
    items = []
    for item in job["items"]:
        place = store.find(item).relative_to(store.root).as_posix()
        items.append({"digest": item, "path": place, "metrics": store.manifest(item)["metrics"]})
    return {"job": digest, "stage": job["stage"], "items": items}
