"""The driver: what the process that the user started does before Snakemake plans.

It validates the configuration, writes the spec of everything the sweep means, and makes the small
files that Snakemake looks at agree with the store: an index file exists if and only if every item
of its job does. After that Snakemake only has to make missing files, in order.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from interpsweep import results
from interpsweep.config.load import load_sweep
from interpsweep.errors import UserError
from interpsweep.jobs import job_index
from interpsweep.lock import complete, lock_path, read_lock, write_lock
from interpsweep.plan import Plan, build_plan
from interpsweep.spec import canonical_json, normal_json
from interpsweep.store import Store
from interpsweep.store.layout import MANIFEST, is_draft, write_atomic, write_quick


def plan_sweep(paths: Iterable[Path], given: Mapping[str, str] | None = None) -> Plan:
    """Load, lock and plan the sweep that `paths` configure (later files over earlier ones), with
    what is `given` on a command line over them.

    New outside inputs are locked on first sight, known ones never again. Raises UserError for a
    bad configuration.
    """
    paths = list(paths)
    sweep = load_sweep(paths, given)
    place = lock_path(paths[0])
    lock = read_lock(place)
    completed = complete(sweep, lock)
    if completed.keys() - lock.keys():
        write_lock(place, {**lock, **completed})
        print(f"interpsweep: locked new outside inputs in {place}", file=sys.stderr)
    return build_plan(sweep, completed)


def prepare(
    plan: Plan, store: Store | None = None, *, dry: bool = False, as_it_is: bool = False
) -> set[str]:
    """Write the plan's specs and make every index file tell the truth about the store.

    Returns the digests of the items that are there and stay. With `dry`, no item and nothing under
    results/ is touched; with `as_it_is`, no index file either: what could not be made is not asked
    for again.
    """
    store = store or Store()
    write_specs(plan, store)
    there = existing(plan, store)
    forgotten = needed_again(plan, store, there)
    if not dry:
        for item in forgotten:
            (store.find(item) / MANIFEST).unlink()
    there -= forgotten
    if not as_it_is:
        settle(plan, store, there)
    if not dry:
        register(plan, store)
        refresh_results(plan, store, there)
    return there


def write_specs(plan: Plan, store: Store) -> None:
    """Write the specs of all items and listings, and the job files."""
    folder = store.root / ".specs"
    folder.mkdir(parents=True, exist_ok=True)
    # a power loss can leave a file empty: it is not known then
    known = {entry.name for entry in os.scandir(folder) if entry.stat().st_size}
    for item in plan.items.by_digest.values():
        if f"{item.digest}.json" not in known:
            write_quick(store.spec_path(item.digest), normal_json(item.spec) + "\n")
    for shown in plan.listings:
        if f"{shown.digest}.json" not in known:
            write_quick(store.spec_path(shown.digest), canonical_json(shown.spec()) + "\n")
    for job in plan.jobs:
        run = plan.run_settings(job)
        text = json.dumps({"stage": job.stage, "items": job.items, "run": run}, sort_keys=True)
        path = store.spec_path(job.digest)
        if path.name not in known or path.read_text() != text:
            write_quick(path, text)


def settle(plan: Plan, store: Store, there: set[str]) -> None:
    """Make every job's index file exist if and only if all its items are `there`.

    The record of a reclaim goes when its activations are data again, or are to be.
    """
    for record, acts in plan.reclaimable.items():
        path = Path(record)
        if path.exists() and (acts not in there or not store.manifest(acts).get("reclaimed")):
            path.unlink()
    for job in plan.jobs:
        index = Path(job.index)
        if all(item in there for item in job.items):
            if not index.exists():  # finished under another grouping
                write_atomic(index, canonical_json(job_index(store, job.digest)) + "\n")
        else:
            index.unlink(missing_ok=True)


def existing(plan: Plan, store: Store) -> set[str]:
    """Digests of the plan's items that the store holds."""
    missing = {item.digest for found in plan.missing(store).values() for item in found}
    return plan.items.by_digest.keys() - missing


def needed_again(plan: Plan, store: Store, there: set[str]) -> set[str]:
    """Reclaimed activations that something still to be made reads."""
    to_make = [item for item in plan.items.by_digest.values() if item.digest not in there]
    read = {acts for item in to_make for acts in plan.activations(item)}
    return {item for item in read & there if store.manifest(item).get("reclaimed")}


def refresh_results(plan: Plan, store: Store, there: set[str]) -> None:
    """Make results/ show what the plan means: show what is finished, drop what is stale."""
    for shown in plan.listings:
        path = Path(shown.path)
        if results.current(path) == shown.digest:
            continue
        if all(item in there for _, item in shown.items):
            results.show(store, shown.digest, path)
        else:
            results.withdraw(path, shown.stage, {name for name, _ in shown.items})
    for name, item in plan.pictures.items():
        folder = store.root / plan.items.by_digest[item].place
        _refresh_picture(folder, Path(name), item in there)
    _drop_unknown(plan)


def _refresh_picture(folder: Path, path: Path, finished: bool) -> None:
    for picture in (path, path.with_suffix(".png")):
        source = folder / f"figure{picture.suffix}"
        if finished and not results.same_bytes(source, picture):
            picture.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, picture)
        elif not finished:
            picture.unlink(missing_ok=True)


def _drop_unknown(plan: Plan) -> None:
    """Remove what results/<sweep>/ shows and the plan no longer means: figures, sites, models.

    And the drafts of whoever was killed while writing there.
    """
    top = Path("results") / plan.sweep.sweep
    for path in (top / "figures").glob("*"):
        if path.is_file() and str(path.with_suffix(".svg")) not in plan.pictures:
            path.unlink()
    shown = {path.removesuffix(".json") for path in plan.listing}
    walked = []
    for folder, inner, files in os.walk(top):
        walked.append(folder)
        inner[:] = [name for name in inner if f"{folder}/{name}" not in shown]
        for path in (Path(folder, name) for name in files):
            if path.suffix == ".json" and str(path) not in plan.listing and results.current(path):
                results.hide(path)
            elif is_draft(path):
                path.unlink()
    for folder in reversed(walked):
        with suppress(OSError):  # not empty, or gone
            os.rmdir(folder)


class DriverLock:
    """One driver per sweep; given back when its process ends, however it ends."""

    def __init__(self, sweep: str, store: Store) -> None:
        self._path = store.root / ".locks" / f"{sweep}.json"
        self._file: TextIO | None = None

    def acquire(self) -> DriverLock:
        """Take the lock. Raises UserError naming the driver that has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            raise UserError(
                f"sweep {self._path.stem} is being run already, by {holder}. "
                "Wait for it, or stop it first"
            ) from None
        self._file.seek(0)
        self._file.truncate()
        json.dump({"host": socket.gethostname(), "pid": os.getpid()}, self._file)
        self._file.flush()
        return self

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def others(self) -> bool:
        """Whether a driver of another sweep is at work in this store."""
        for path in self._path.parent.glob("*.json"):
            if path == self._path:
                continue
            with path.open("a", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    return True
        return False


def register(plan: Plan, store: Store) -> None:
    """Register the sweep's items as wanted, so that garbage collection leaves them alone."""
    root = {"sweep": plan.sweep.sweep, "items": sorted(plan.items.by_digest)}
    write_atomic(store.registered(plan.sweep.sweep), json.dumps(root) + "\n")
