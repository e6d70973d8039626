"""Looking after a store: lock, verify, reclaim, gc."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from interpsweep.config.load import load_sweep
from interpsweep.errors import UserError
from interpsweep.lock import complete, lock_path, read_lock, write_lock
from interpsweep.store import Store, failures
from interpsweep.store import lease as leases
from interpsweep.store.check import check_item, check_specs, item_folders
from interpsweep.store.layout import MANIFEST, RUN_RECORD, write_atomic
from interpsweep.store.seal import read_manifest, sealed


def lock_inputs(configs: list[Path]) -> None:
    """Look up every outside input of a sweep again and write the lock; say what changed."""
    place = lock_path(configs[0])
    old = read_lock(place)
    new = complete(load_sweep(configs), old, fresh=True)
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            print(f"{name}: {old.get(name, 'new')} -> {new.get(name, 'no longer used')}")
    write_lock(place, new)
    print(f"{place}: {len(new)} outside inputs")


def verify_store(*, full: bool, repair: bool, store: Store | None = None) -> int:
    """Check all items and spec files; return 1 if any is damaged and stays so."""
    store = store or Store()
    damaged = checked = 0
    for folder in item_folders(store):
        checked += 1
        problems = list(check_item(folder, full=full))
        for problem in problems:
            print(problem)
        if problems:
            damaged += 1
            if repair:
                condemn(folder)
                print(f"{folder}: dropped; the next run makes it again")
    for spec in check_specs(store):
        print(f"{spec}: its content is not what its name stands for")
        damaged += 1
        if repair:
            spec.unlink()
            print(f"{spec}: dropped; the next run writes it again")
    print(f"{checked} items checked {'byte by byte' if full else 'by size'}, {damaged} damaged")
    return int(damaged > 0 and not repair)


def condemn(folder: Path) -> None:
    """Drop an item: its manifest first, so that no reader sees a part of it."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder)


def reclaim_activations(
    digest: str, record: Path, store: Store | None = None, readers: Collection[Path] = ()
) -> None:
    """Delete the data of activations; the manifest stays and says so (reclaimed, not missing).

    Raises UserError if the index file of a job that reads them, one of `readers`, has items that
    could not be made: the next run would have to capture the activations again.
    """
    store = store or Store()
    folder, manifest = store.find(digest), store.manifest(digest)
    for index in readers:
        for item in json.loads(index.read_text(encoding="utf-8"))["items"]:
            if "failed" in item:
                raise UserError(f"{folder}: kept for {item['digest']}, which is to be tried again")
    if not manifest.get("reclaimed"):
        manifest["reclaimed"] = True
        write_atomic(folder / MANIFEST, sealed(manifest))
    freed = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        elif path.relative_to(folder).as_posix() not in (MANIFEST, RUN_RECORD):
            freed += path.stat().st_size
            path.unlink()
    write_atomic(record, json.dumps({"activations": digest, "reclaimed": True}) + "\n")
    print(f"{folder}: {freed / 1e9:.2f} GB freed")


def collect_garbage(*, delete: bool, grace_days: float, store: Store | None = None) -> None:
    """List or delete items that no registered sweep wants, that are old enough and not leased."""
    store = store or Store()
    wanted = _wanted(store)
    young = time.time() - grace_days * 86400
    total = count = 0
    for folder in item_folders(store):
        if not (folder / MANIFEST).exists():  # `verify --repair` drops it
            continue
        manifest = read_manifest(folder / MANIFEST)
        held = leases.read(store.lease_path(manifest["digest"]))
        busy = held is not None and leases.alive(*held)
        if manifest["digest"] in wanted or busy or folder.stat().st_mtime > young:
            continue
        size = sum(file["size"] for file in manifest["files"].values())
        total, count = total + size, count + 1
        print(f"{folder}: {size / 1e6:,.1f} MB")
        if delete:
            condemn(folder)
    for folder in _abandoned(store, wanted, young):
        print(f"{folder}: unfinished")
        count += 1
        if delete:
            shutil.rmtree(folder)
    for path in _torn(store, young):
        print(f"{path}: left by a process that was killed")
        if delete:
            path.unlink(missing_ok=True)
    verb = "deleted" if delete else "could be deleted (--delete does it)"
    print(f"{count} items, {total / 1e9:.2f} GB {verb}")


def _abandoned(store: Store, wanted: set[str], young: float) -> Iterator[Path]:
    """Attempts at items that are finished or unwanted, old enough and not under way."""
    kept = {store.work(item) for item in wanted if not store.exists(item)}
    for folder in sorted((store.root / ".work").glob("*")):
        held = leases.read(store.lease_path(folder.name))
        busy = held is not None and leases.alive(*held)
        newest = max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])
        if folder not in kept and not busy and newest <= young:
            yield folder


def _torn(store: Store, young: float) -> Iterator[Path]:
    """Drafts of records that nobody is writing any more, and leases whose holders are dead."""
    for path in sorted((store.root / ".leases").glob("*.json")):
        held = leases.read(path)
        if held is not None and not leases.alive(*held) and held[1] <= young:
            yield path
    for folder in sorted(store.root.glob(".*")):
        if folder.name != ".work" and folder.is_dir():
            drafts = sorted(path for path in folder.rglob(".*") if path.is_file())
            yield from (path for path in drafts if path.stat().st_mtime <= young)


def _wanted(store: Store) -> set[str]:
    """Digests of every item that some sweep registered."""
    wanted: set[str] = set()
    for root in sorted((store.root / ".roots").glob("*.json")):
        try:
            wanted |= set(json.loads(root.read_text(encoding="utf-8"))["items"])
        except (json.JSONDecodeError, KeyError):
            raise UserError(f"{root}: damaged; run its sweep again before collecting") from None
    stand_ins = [failure.instead for item in wanted if (failure := failures.read(store, item))]
    return wanted.union(filter(None, stand_ins))
