"""A whole sweep (driver, Snakemake, jobs) on a disk of its own that fills up; then there is space.

The disk is a small tmpfs, so this needs root. A neighbour's file takes what is left but for some
room, at some moment; INTERPSWEEP_POINTS sets how many moments (3; 0 means 8).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CONFIG, Undisturbed, until_idle

from interpsweep.store.layout import MANIFEST
from places import Place

POINTS = int(os.environ.get("INTERPSWEEP_POINTS", "3")) or 8
KB, MB = 1024, 1024**2
SIZE = 256 * MB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The mount point of an empty disk of its own."""
    made = tmp_path / "disk"
    made.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(made)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a disk of its own needs root")
    try:
        yield made
    finally:
        until_idle(made)
        subprocess.run(["umount", str(made)], check=True)


def fill(disk: Path, room: int) -> Path:
    """A neighbour's file that leaves `room` bytes free."""
    file = disk / "neighbour.bin"
    with file.open("wb") as out:
        block = bytes(MB)
        while (left := shutil.disk_usage(disk).free - room) > 0:
            out.write(block[: min(left, MB)])
            out.flush()
    return file


def made(place: Place) -> int:
    return sum(1 for _ in (place.root / "store").glob(f"*/*/{MANIFEST}"))


def moments(items: int) -> list[tuple[int, int]]:
    """(items that are made when the disk fills up, bytes left free): early to late, much to none."""
    rooms = (0, 60 * KB, 600 * KB)
    counts = [1 + (items - 2) * i // max(1, POINTS - 1) for i in range(POINTS)]
    return [(count, rooms[i % len(rooms)]) for i, count in enumerate(counts)]


@pytest.mark.slow
def test_a_disk_that_fills_up_under_a_sweep_harms_nothing(
    undisturbed: Undisturbed, disk: Path
) -> None:
    wanted = undisturbed.place.items()
    place = Place(disk)
    for count, room in moments(len(wanted)):
        if made(place) >= len(wanted) - 1:
            shutil.rmtree(disk / "store")
        status, text = run_and_fill(place, count, room)
        at = f"no room from {count} items on but for {room} bytes\n{text}"
        assert status != 0 and made(place) < len(wanted), at
        assert "no room left" in text or "No space left on device" in text, at
        assert wanted.items() >= place.items().items(), at
        assert " 0 damaged" in place.run("verify", "--full"), at
    place.run("run", *CONFIG)
    assert place.items() == wanted
    assert " 0 damaged" in place.run("verify", "--full")
    print(f"the disk filled up {POINTS} times under one sweep")


def run_and_fill(place: Place, count: int, room: int) -> tuple[int, str]:
    """Start the sweep, let a neighbour fill the disk once `count` items are there, make space
    when it has ended: how it ended, and all that was said."""
    said = place.root.with_name("said")  # on another disk
    with said.open("wb") as log:
        driver = subprocess.Popen(
            place.command("run", *CONFIG, "--plain"),
            cwd=place.root,
            env=place.environment,
            stdout=log,
            stderr=log,
        )
        while made(place) < count and driver.poll() is None:
            time.sleep(0.02)
        file = fill(place.root, room)
        status = driver.wait()
    until_idle(place.root)
    file.unlink()
    logs = sorted((place.root / "logs").rglob("*.log"))
    return status, said.read_text() + "".join(p.read_text(errors="replace") for p in logs)


def test_a_disk_that_is_too_small_is_told_before_anything_is_computed(disk: Path) -> None:
    place = Place(disk)
    fill(disk, 2 * MB)
    text = place.run("run", *CONFIG, status=2)
    assert "the sweep needs about" in text and "are free. Free some space" in text
    assert made(place) == 0 and not (disk / "logs").exists()
