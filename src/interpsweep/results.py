"""The readable results of a sweep: plain names under results/ for items of the store.

Run as ``python -m interpsweep.results DIGEST OUTPUT`` (a listing, or a figure's SVG); the standard
library is all it needs, so a sweep's many small files cost almost nothing.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from interpsweep.errors import UserError
from interpsweep.stages import STAGES
from interpsweep.store import Store, failures
from interpsweep.store.layout import RUN_RECORD, write_atomic

_HOW = {stage.target: stage for stage in STAGES.values()}


def show(store: Store, digest: str, output: Path) -> None:
    """Write the readable file `output` for the spec of a listing, and what it shows beside it.

    A stage shows each of its items as a folder of links, or the files of its one item as links. A
    file that a rule copied from the item stays (see `workflow/rules/results.smk`). Items that could
    not be made are named with the reason.
    """
    spec = store.read_spec(digest)
    there = {item: failures.present(store, item) for _, item in spec["items"]}
    items = [_entry(store, name, item, there[item]) for name, item in spec["items"] if there[item]]
    missing = [_reason(store, name, item) for name, item in spec["items"] if not there[item]]
    output.unlink(missing_ok=True)  # it vouches for the links, so it comes after them
    stage = _HOW[spec["listing"]]
    if stage.shows == "folders":
        _drop_others(output.with_suffix(""), {item["name"] for item in items})
        for item in items:
            _show_folder(store.root / item["path"], output.with_suffix("") / item["name"])
    elif stage.shows == "files" and items:
        for name in stage.files:
            _link(store.root / items[0]["path"] / name, output.parent / name)
    shown = {"listing": digest, "stage": spec["listing"], "items": items}
    if missing or any(there[item] != item for item in there):  # never taken for the whole
        shown |= {"listing": f"incomplete {digest}", "missing": missing}
    write_atomic(output, json.dumps(shown, sort_keys=True, indent=2) + "\n")


def withdraw(output: Path, stage: str, names: Collection[str]) -> None:
    """Remove a readable file that is stale; of the folders beside it those of `names` stay."""
    output.unlink(missing_ok=True)
    if STAGES[stage].shows == "folders":
        _drop_others(output.with_suffix(""), names)


def _drop_others(folder: Path, names: Collection[str]) -> None:
    """Remove what `folder` holds beside folders of these names; links are never followed."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.name not in names:
            shutil.rmtree(path)


def hide(output: Path) -> None:
    """Remove a readable file and the links beside it."""
    output.unlink()
    shutil.rmtree(output.with_suffix(""), ignore_errors=True)


def current(output: Path) -> str:
    """The digest that a readable file shows now, or ""."""
    try:
        return json.loads(output.read_text(encoding="utf-8"))["listing"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return ""


def same_bytes(a: Path, b: Path) -> bool:
    """Whether two files exist and hold the same."""
    return a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False)


def show_picture(store: Store, digest: str, svg: Path) -> None:
    """Copy a figure to `svg` and the PNG beside it. Raises UserError if it could not be drawn."""
    found = failures.present(store, digest)
    if not found:
        raise UserError(f"{svg}: {_reason(store, svg.stem, digest)['reason']}")
    for picture in (svg, svg.with_suffix(".png")):
        shutil.copyfile(store.find(found) / f"figure{picture.suffix}", picture)


def _entry(store: Store, name: str, item: str, found: str) -> dict[str, Any]:
    path = store.find(found).relative_to(store.root).as_posix()
    entry = {"name": name, "digest": item, "path": path}
    instead = {} if found == item else {"instead": found}
    return {**entry, **instead, "metrics": store.manifest(found)["metrics"]}


def _reason(store: Store, name: str, item: str) -> dict[str, str]:
    failure = failures.read(store, item)
    return {"name": name, "digest": item, "reason": failure.reason if failure else "not made"}


def _show_folder(item: Path, folder: Path) -> None:
    """Make `folder` show the files of an item; what is right already is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in item.iterdir()} - {RUN_RECORD}
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()
    for name in names:
        _link(item / name, folder / name)


def _link(source: Path, link: Path) -> None:
    """Make `link` a link to `source`, unless it is one or a copy; as old as what it shows.

    Snakemake compares the age of the link itself with that of the readable file, which is younger.
    """
    wanted = os.path.relpath(source, link.parent)
    if link.is_symlink():
        if os.readlink(link) == wanted:
            return
    elif link.is_file() and same_bytes(source, link):
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(wanted)
    if source.exists() and os.utime in os.supports_follow_symlinks:
        made = source.stat()
        os.utime(link, ns=(made.st_atime_ns, made.st_mtime_ns), follow_symlinks=False)


if __name__ == "__main__":
    wanted, place = sys.argv[1], Path(sys.argv[2])
    try:
        (show_picture if place.suffix == ".svg" else show)(Store(), wanted, place)
    except UserError as error:
        sys.exit(str(error))
