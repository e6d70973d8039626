"""Finding damage: what the store says of itself against what is on disk.

Every item has a manifest that names each of its files with size and SHA-256 and carries a digest
of itself; every spec file is named by the digest of its content.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interpsweep.errors import UserError
from interpsweep.spec import DIGEST_IN_NAME, digest
from interpsweep.stages import STAGES
from interpsweep.store.layout import MANIFEST, RUN_RECORD, Store
from interpsweep.store.manifest import hash_file
from interpsweep.store.seal import read_manifest

Sizes = dict[str, int]  # of the files of an item, by relative POSIX path


def item_folders(store: Store) -> Iterator[Path]:
    """Every folder of the store that is, or was, an item."""
    for kind in dict.fromkeys(stage.kind for stage in STAGES.values()):
        yield from sorted(path for path in (store.root / kind).glob("*") if path.is_dir())


def check_item(folder: Path, *, full: bool) -> Iterator[str]:
    """What is wrong with an item, one line for each file; with `full` every byte is read."""
    place = folder / MANIFEST
    if not place.exists():
        yield f"{place}: missing, so this is no item"
        return
    try:
        manifest = read_manifest(place, strict=True)
        files: dict[str, dict[str, Any]] = manifest["files"]
        named, known = manifest["digest"], digest(manifest["spec"])
    except UserError as error:
        yield str(error)
        return
    except (KeyError, TypeError):
        yield f"{place}: not a manifest"
        return
    if named != known or named[:DIGEST_IN_NAME] != folder.name[-DIGEST_IN_NAME:]:
        yield f"{folder}: its manifest belongs to another item"
    if not manifest.get("reclaimed"):
        yield from _check_files(folder, files, full=full)


def _check_files(folder: Path, files: dict[str, dict[str, Any]], *, full: bool) -> Iterator[str]:
    sizes = _sizes(folder)
    for name, expected in files.items():
        path, size = folder / name, sizes.pop(name, None)
        if size is None:
            yield f"{path}: missing"
        elif size != expected["size"]:
            yield f"{path}: {size} bytes instead of {expected['size']}"
        elif full and hash_file(path) != expected["sha256"]:
            yield f"{path}: its bytes changed"
    for name in sorted(sizes):
        yield f"{folder / name}: the manifest does not know this file"


def _sizes(folder: Path) -> Sizes:
    """Sizes of an item's own files; -1 for links and the like, which no item holds."""
    found: Sizes = {}
    waiting = [""]
    while waiting:
        inner = waiting.pop()
        with os.scandir(folder / inner) as entries:
            for entry in entries:
                name = f"{inner}/{entry.name}" if inner else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif name not in (MANIFEST, RUN_RECORD):
                    plain = entry.is_file(follow_symlinks=False)
                    found[name] = entry.stat(follow_symlinks=False).st_size if plain else -1
    return found


def check_specs(store: Store) -> Iterator[Path]:
    """Spec files whose content is not what their name is the digest of."""
    for path in sorted((store.root / ".specs").glob("*.json")):
        try:
            store.read_spec(path.stem)
        except UserError:
            yield path
