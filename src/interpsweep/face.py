"""The readable face of a sweep: plain names under results/ for items of the store.

Run as ``python -m interpsweep.face DIGEST OUTPUT``; the standard library is all it needs, so a
sweep's many small files cost almost nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from interpsweep.store import Store
from interpsweep.store.layout import write_atomic

# files of an item that deserve a place of their own at the top of results/<sweep>/
_PROMOTED = {"report": ("index.html",), "bundle": ("bundle.zip",)}


def show(store: Store, digest: str, output: Path) -> None:
    """Write the readable file `output` for a face spec, and links to its items beside it."""
    face = store.read_spec(digest)
    items = [_entry(store, name, item) for name, item in face["items"]]
    links = output.with_suffix("")
    output.unlink(missing_ok=True)  # it vouches for the links, so it comes after them
    if face["face"] not in ("figures", *_PROMOTED):
        _link_all(store, links, items)
    for name in _PROMOTED.get(face["face"], ()):
        _link(store.root / items[0]["path"] / name, output.parent / name)
    shown = {"face": digest, "stage": face["face"], "items": items}
    write_atomic(output, json.dumps(shown, sort_keys=True, indent=2) + "\n")


def hide(output: Path) -> None:
    """Remove a readable file and the links beside it."""
    output.unlink()
    shutil.rmtree(output.with_suffix(""), ignore_errors=True)


def current(output: Path) -> str:
    """The digest that a readable file shows now, or ""."""
    try:
        return json.loads(output.read_text(encoding="utf-8"))["face"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return ""


def same_bytes(a: Path, b: Path) -> bool:
    """Whether two files exist and hold the same."""
    both = a.exists() and b.exists()
    return both and a.stat().st_size == b.stat().st_size and a.read_bytes() == b.read_bytes()


def _entry(store: Store, name: str, item: str) -> dict[str, Any]:
    path = store.find(item).relative_to(store.root).as_posix()
    return {"name": name, "digest": item, "path": path, "metrics": store.manifest(item)["metrics"]}


def _link_all(store: Store, folder: Path, items: list[dict[str, Any]]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for item in items:
        _link(store.root / item["path"], folder / item["name"])


def _link(target: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


if __name__ == "__main__":
    show(Store(), sys.argv[1], Path(sys.argv[2]))
