"""Manifests: the statement, written last, that an item is whole.

A manifest names the spec, every file with its size and SHA-256, a summary of metrics, the package
versions that made it, and a digest of itself. Nothing in it depends on when, where or how often it
was tried.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from interpsweep.spec import Spec, digest
from interpsweep.store.layout import MANIFEST, RUN_RECORD, SCRATCH, sync_folder, write_atomic
from interpsweep.store.seal import sealed

_VERSIONED = ("interpsweep", "numpy", "scipy", "torch", "transformer-lens", "transformers", "zarr")
_PIECE = 1 << 22


def write_manifest(folder: Path, spec: Spec, metrics: dict[str, Any]) -> None:
    """Hash and flush every file of `folder` to disk, then write its manifest."""
    manifest = {
        "stage": spec["stage"],
        "digest": digest(spec),
        "spec": spec,
        "files": file_table(folder, sync=True),
        "metrics": metrics,
        "versions": _versions(),
    }
    write_atomic(folder / MANIFEST, sealed(manifest))
    sync_folder(folder)


def file_table(folder: Path, *, sync: bool = False) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every data file under `folder`, by relative POSIX path."""
    files = list(data_files(folder))
    with ThreadPoolExecutor(2) as pool:  # hashing releases the interpreter lock
        hashes = list(pool.map(lambda file: hash_file(file, sync=sync), files))
    if sync:
        for inner in {file.parent for file in files}:
            sync_folder(inner)
    return {
        file.relative_to(folder).as_posix(): {"size": file.stat().st_size, "sha256": sha}
        for file, sha in zip(files, hashes, strict=True)
    }


def data_files(folder: Path) -> Iterator[Path]:
    """Every file of an item that its manifest vouches for, in sorted order."""
    for file in sorted(folder.rglob("*")):
        if file.is_symlink():
            raise ValueError(f"{file}: items never hold symbolic links")
        place = file.relative_to(folder)
        ours = place.as_posix() in (MANIFEST, RUN_RECORD) or place.parts[0] == SCRATCH
        if file.is_file() and not ours:
            yield file


def hash_file(path: Path, *, sync: bool = False) -> str:
    """SHA-256 of a file's bytes; with `sync` they are flushed to disk too."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            sha.update(piece)
        if sync:
            os.fsync(file.fileno())
    return sha.hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
