"""Every file of every item is damaged in every way; `verify` names it, `--repair` redoes only it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import CONFIG, Undisturbed, copy

from interpsweep.store import Store
from interpsweep.store.check import check_item, item_folders
from interpsweep.store.layout import MANIFEST, RUN_RECORD


def flip(path: Path) -> None:
    """Another lowest bit in the byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def swap(path: Path) -> None:
    """With the next file of its item that holds something else."""
    content = path.read_bytes()
    others = (f for f in files_of(path.parent) if f.name != MANIFEST)
    other = next((f for f in others if f.read_bytes() != content), None)
    if other is None:
        path.write_bytes(b"another file's content")
    else:
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)


def rename(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.bak"))


DAMAGES = (flip, truncate, zero, Path.unlink, swap, rename)


def files_of(folder: Path) -> list[Path]:
    return [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name != RUN_RECORD]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_any_damage_to_any_file_is_named(
    undisturbed: Undisturbed, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    found = dict.fromkeys(("by size", "byte by byte"), 0)
    tried = 0
    for folder in item_folders(Store(undisturbed.place.root / "store")):
        names = [f.relative_to(folder) for f in files_of(folder) if f.stat().st_size]
        for name in names:
            item = tmp_path / folder.name
            shutil.copytree(folder, item)
            damage(item / name)
            tried += 1
            found["by size"] += any(check_item(item, full=False))
            named = [line for line in check_item(item, full=True) if str(item / name) in line]
            found["byte by byte"] += bool(named)
            assert named, f"{damage.__name__} of {folder.name}/{name}"
            shutil.rmtree(item)
    print(f"{damage.__name__}: {tried} files damaged, found {found}")
    assert found["byte by byte"] == tried > 100
    if damage in (truncate, Path.unlink, rename):
        assert found["by size"] == tried


def test_repair_redoes_what_is_damaged_and_nothing_else(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    place = copy(undisturbed, tmp_path)
    store = Store(place.root / "store")
    broken = dict(_one_of_each(store, ("corpus", "train", "encode", "tree", "figures")))
    for number, folder in enumerate(broken.values()):
        DAMAGES[number % len(DAMAGES)](files_of(folder)[0])
    spec = sorted((store.root / ".specs").glob("*.json"))[3]
    flip(spec)
    text = place.run("verify", "--full", status=1)
    named = {str(f.relative_to(place.root)) for f in broken.values()}
    assert all(folder in text for folder in named) and f"{spec.relative_to(place.root)}:" in text
    assert f" {len(broken) + 1} damaged" in text
    kept = {f: _written(f) for f in item_folders(store) if f not in broken.values()}
    assert " damaged" in place.run("verify", "--full", "--repair")
    missing = place.run("run", *CONFIG, "--dry-run")
    assert f"{len(broken)} of " in missing
    place.run("run", *CONFIG)
    assert place.items() == undisturbed.place.items()
    assert {f: _written(f) for f in kept} == kept
    assert " 0 damaged" in place.run("verify", "--full")


def _written(folder: Path) -> int:
    """When an item's manifest was written, in ns."""
    return (folder / MANIFEST).stat().st_mtime_ns


def _one_of_each(store: Store, stages: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for folder in item_folders(store):
        stage = json.loads((folder / MANIFEST).read_text())["stage"]
        if stage in stages:
            yield stage, folder


def test_a_purge_of_old_files_is_noticed_and_only_that_is_redone(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Scratch space is cleaned of what nobody read for weeks: whole files go, at random."""
    place = copy(undisturbed, tmp_path)
    gone = files_of(next(item_folders(Store(place.root / "store"))))[::7]
    for path in gone:
        path.unlink()
    text = place.run("verify", status=1)
    assert all(f"{path.relative_to(place.root)}: missing" in text for path in gone)


def many_items(undisturbed: Undisturbed, root: Path, count: int) -> Store:
    """A store of `count` items: those of the sweep over and over, under other names."""
    sources = list(item_folders(Store(undisturbed.place.root / "store")))
    for number in range(count):
        source = sources[number % len(sources)]
        shutil.copytree(source, root / source.parent.name / f"{number}-{source.name}")
    return Store(root)


@pytest.mark.skipif("INTERPSWEEP_ITEMS" not in os.environ, reason="a measurement, not a test")
def test_how_long_looking_at_many_items_takes(undisturbed: Undisturbed, tmp_path: Path) -> None:
    count = int(os.environ["INTERPSWEEP_ITEMS"])
    store = many_items(undisturbed, tmp_path / "store", count)
    for full in (False, True):
        began = time.monotonic()
        problems = [line for f in item_folders(store) for line in check_item(f, full=full)]
        took = time.monotonic() - began
        assert problems == []
        print(f"{count} items, {'byte by byte' if full else 'by size'}: {took:.2f} s")
