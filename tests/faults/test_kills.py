"""SIGKILL of everything at random moments; the same command again; the same bytes.

INTERPSWEEP_KILLS sets how often (5), INTERPSWEEP_SWEEP which sweep (quick, or default).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import CONFIG, Undisturbed

from places import Place

KILLS = int(os.environ.get("INTERPSWEEP_KILLS", "5"))


def killed_after(place: Place, seconds: float) -> bool:
    """Start the sweep, kill its whole process group after a while; True if it was still running."""
    process = subprocess.Popen(
        place.command("run", *CONFIG),
        cwd=place.root,
        env=place.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    moments = random.Random(os.environ.get("INTERPSWEEP_KILL_SEED", "0"))
    killed = 0
    for _ in range(KILLS):
        # a start costs some seconds, so that short runs still get anywhere
        killed += killed_after(place, moments.uniform(0.1, 0.6) * undisturbed.seconds)
    place.run("run", *CONFIG)
    assert killed > 0
    assert place.items() == undisturbed.place.items()
    assert " 0 damaged" in place.run("verify", "--full")
    left = list((place.root / "store/.work").glob("*/*")) + list(
        (place.root / "store/.leases").glob("*")
    )
    assert left == []


def test_two_drivers_at_once_are_refused(fresh_place: Place) -> None:
    first = subprocess.Popen(
        fresh_place.command("run", *CONFIG),
        cwd=fresh_place.root,
        env=fresh_place.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lock = fresh_place.root / "store/.locks/quick.json"
    try:
        while not (lock.exists() and lock.read_text()):
            assert first.poll() is None
            time.sleep(0.1)
        text = fresh_place.run("run", *CONFIG, "--plain", status=2)
        assert "is being run already" in text
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()


@pytest.fixture
def fresh_place(tmp_path: Path) -> Place:
    return Place(tmp_path)
