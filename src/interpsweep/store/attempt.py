"""Making an item: a private folder that survives a kill, then one rename into the store."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from interpsweep.spec import Spec
from interpsweep.store.layout import MANIFEST, RUN_RECORD, SCRATCH, Store, sync_folder
from interpsweep.store.manifest import write_manifest


def open_attempt(store: Store, item: str) -> Path:
    """Return a fresh attempt folder of `item`, holding what the last attempt left.

    The newest earlier attempt is adopted by renaming it: a writer that was thought dead and is not
    loses its paths and fails, so it can never write into ours. The caller holds the lease.
    """
    work = store.work(item)
    work.mkdir(parents=True, exist_ok=True)
    attempt = work / uuid.uuid4().hex[:12]
    earlier = sorted((p for p in work.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    if earlier:
        earlier.pop().rename(attempt)
        for older in earlier:
            shutil.rmtree(older, ignore_errors=True)
    else:
        attempt.mkdir()
    for partial in attempt.rglob("*.partial"):  # torn writes of the one before
        partial.unlink()
    (attempt / MANIFEST).unlink(missing_ok=True)  # killed between manifest and rename
    return attempt


def publish(
    store: Store, spec: Spec, item: str, attempt: Path, metrics: dict, record: dict[str, Any]
) -> Path:
    """Write the manifest and move the attempt into the store; return where the item is.

    Only once the manifest is on disk the scratch folder is dropped, so a kill costs no checkpoint.
    If another job published the same item first, ours is thrown away: both are the same bytes.
    """
    (attempt / RUN_RECORD).write_text(json.dumps(record, sort_keys=True, indent=1) + "\n")
    write_manifest(attempt, spec, metrics)
    shutil.rmtree(attempt / SCRATCH, ignore_errors=True)
    target = store.path(spec, item)
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_ruins(target)
    try:
        os.rename(attempt, target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        shutil.rmtree(attempt)
    shutil.rmtree(store.work(item), ignore_errors=True)
    store.failure_path(item).unlink(missing_ok=True)
    sync_folder(target.parent)
    return target


def _clear_ruins(target: Path) -> None:
    """Remove a folder without a manifest (an item whose manifest somebody deleted)."""
    if target.exists() and not (target / MANIFEST).exists():
        ruin = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.ruin")
        target.rename(ruin)
        shutil.rmtree(ruin, ignore_errors=True)
