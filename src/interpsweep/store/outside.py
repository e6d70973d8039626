"""Hashes of large files outside the store, kept so that not every job reads them all again.

A checkpoint of many gigabytes is named by its content, and every job that opens it makes sure that
the content is still the same. The hash of a file is taken from ``store/.hashes/`` while its size,
both its times and its inode are what they were; a program can set back the time of modification,
but not the one of the last change.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from interpsweep.store.layout import Store, write_quick
from interpsweep.store.manifest import hash_file

LARGE = 1 << 22  # bytes; smaller files are always read
SETTLED = 10.0  # seconds without a change before a hash is kept: clocks of file systems are coarse


def hash_outside(path: Path, store: Store | None = None) -> str:
    """SHA-256 of a file that is no part of the store. Raises OSError if it cannot be read."""
    known = path.stat()
    if known.st_size < LARGE:
        return hash_file(path)
    state = [known.st_size, known.st_mtime_ns, known.st_ctime_ns, known.st_ino]
    name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()
    record = (store or Store()).root / ".hashes" / f"{name}.json"
    kept = _read(record)
    if kept.get("state") == state:
        return str(kept["sha256"])
    found = hash_file(path)
    if time.time() - max(known.st_mtime, known.st_ctime) > SETTLED:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_quick(record, json.dumps({"path": str(path), "state": state, "sha256": found}))
    return found


def _read(record: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or torn by a power loss
        return {}
    return kept
