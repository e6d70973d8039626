"""Where everything in a store is, and how files appear in it: whole or not at all."""

from __future__ import annotations

import json
import os
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any

from interpsweep.errors import UserError
from interpsweep.spec import DIGEST_IN_NAME, Spec, canonical_json, digest, slug
from interpsweep.stages import STAGES
from interpsweep.store.seal import read_manifest

MANIFEST = "manifest.json"
SCRATCH = ".scratch"  # in an attempt: what outlives a kill but is no part of the item
RUN_RECORD = "run.json"

# settings worth reading in a folder's name, in this order
_NAMED = ("figure", "direction", "source", "site", "architecture", "d_sae", "sparsity", "seed")


class Store:
    """Paths of a store. Creating one touches nothing on disk.

    ============================  ==================================================
    ``<kind>/<name>-<digest>/``   a finished item: data, manifest.json, run.json
    ``.specs/<digest>.json``      the spec of every item and job ever planned
    ``.jobs/<stage>/*.json``      index files: what Snakemake sees of a finished job
    ``.work/<digest>/<attempt>/`` an item being made
    ``.leases/<digest>.json``     who is making it
    ``.roots/``                   what each sweep still wants (garbage collection)
    ``.progress/``                how far running jobs are
    ``.history/``                 how the attempts at each job ended
    ``.failures/<digest>.json``   why an item could not be made, and what stands in for it
    ``.hashes/``                  content of large files outside the store
    ============================  ==================================================
    """

    def __init__(self, root: Path | str = "store") -> None:
        self.root = Path(root)

    def spec_path(self, item: str) -> Path:
        """The spec file of an item or job digest."""
        return self.root / ".specs" / f"{item}.json"

    def write_spec(self, spec: Spec) -> str:
        """Write `spec` under its digest, unless it is there, and return the digest."""
        name = digest(spec)
        path = self.spec_path(name)
        if not path.exists():
            write_atomic(path, canonical_json(spec) + "\n")
        return name

    def read_spec(self, item: str) -> Spec:
        """The spec behind a digest. Raises UserError if the store has never seen it."""
        return _read_spec(self.spec_path(item))

    def path(self, spec: Spec, item: str | None = None) -> Path:
        """The folder of the item that `spec` describes (whether or not it exists)."""
        return self.root / place(spec, item or digest(spec))

    def find(self, item: str) -> Path:
        """The folder of an item known by its digest."""
        return self.path(self.read_spec(item), item)

    def exists(self, item: str) -> bool:
        """True if and only if the item is finished: its manifest is there."""
        return (self.find(item) / MANIFEST).exists()

    def manifest(self, item: str) -> dict[str, Any]:
        """The manifest of a finished item. Raises UserError if there is none or it is damaged."""
        return read_manifest(self.find(item) / MANIFEST)

    def work(self, item: str) -> Path:
        """Where attempts at an item live."""
        return self.root / ".work" / item[:DIGEST_IN_NAME]

    def lease_path(self, item: str) -> Path:
        """The lease file of an item."""
        return self.root / ".leases" / f"{item[:DIGEST_IN_NAME]}.json"

    def progress_path(self, job: str) -> Path:
        """Where a running job writes how far it is."""
        return self.root / ".progress" / f"{job[:DIGEST_IN_NAME]}.json"

    def registered(self, sweep: str) -> Path:
        """Where the items that a sweep wants are written down, anew at every run."""
        return self.root / ".roots" / f"{sweep}.json"

    def failure_path(self, item: str) -> Path:
        """Where it is written why an item could not be made."""
        return self.root / ".failures" / f"{item[:DIGEST_IN_NAME]}.json"

    def history_path(self, job: str) -> Path:
        """Where it is written how the attempts at a job ended."""
        return self.root / ".history" / f"{job[:DIGEST_IN_NAME]}.json"


def place(spec: Spec, item: str) -> str:
    """The folder of an item below the root of a store: kind, readable name, digest."""
    settings = spec.get("settings", {})
    shown = [settings[key] for key in _NAMED if isinstance(settings.get(key), str | int | float)]
    parts = [slug(str(value)) for value in shown if value != ""]
    name = slug("-".join(parts) or spec["stage"])
    return f"{STAGES[spec['stage']].kind}/{name}-{item[:DIGEST_IN_NAME]}"


@lru_cache(maxsize=100_000)
def _read_spec(path: Path) -> Spec:
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
        # what a job file says under "run" changes nothing it makes, and is not in its name
        named = digest({key: value for key, value in spec.items() if key != "run"})
    except FileNotFoundError:
        raise UserError(
            f"{path}: the store knows no such digest; plan the sweep first "
            "(`interpsweep plan`) so that its specs are written"
        ) from None
    except (ValueError, AttributeError):
        named = ""
    if named != path.stem:
        raise UserError(f"{path}: damaged; delete it (`interpsweep verify --repair`) and run again")
    return spec


def write_atomic(path: Path, text: str) -> None:
    """Write a small text file so that readers see the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, text, flush=True)


def write_quick(path: Path, text: str) -> None:
    """Write a small file that can be made again at any time: atomic, but not flushed to disk."""
    _write(path, text, flush=False)


def _write(path: Path, text: str, *, flush: bool) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError:  # a full disk should not fill up with these
        partial.unlink(missing_ok=True)
        raise


def is_draft(path: Path) -> bool:
    """Whether a file is what a process that was killed while writing leaves."""
    return path.name.startswith(".") and path.suffix == ".partial"


def sync_folder(folder: Path) -> None:
    """Make the entries of `folder` durable (a no-op where folders can't be opened)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
