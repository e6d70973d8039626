"""What the next attempt at a job asks for, from how the last ones ended."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from interpsweep.store import Store
from interpsweep.store.history import Record, attempts, lacked, megabytes_of, minutes_of, wanted

JOB = "ab" * 32
GONE = {"host": "elsewhere", "pid": 1, "started": "1", "slurm": "7", "began": 0.0}
GRANTED = {"minutes": 60, "memory": 4000}


def client(folder: Path, name: str, answer: str, status: int = 0) -> None:
    """A command-line client of a cluster that gives one answer."""
    path = folder / name
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{answer}'\nexit {status}\n")
    path.chmod(0o755)


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.mark.parametrize(
    ("attempt", "state", "lack"),
    [
        ({"how": "memory"}, "", "memory"),
        ({"how": "failed"}, "", ""),  # an ordinary error: more of anything would not help
        ({"how": "done", "stopped": 3590.0}, "", ""),
        ({"how": "failed", "stopped": 3500.0}, "", "time"),  # saved in time
        ({"stopped": 3500.0}, "FAILED", "time"),  # killed while saving
        ({"how": "failed", "stopped": 600.0}, "", ""),  # preempted or cancelled
        ({}, "OUT_OF_MEMORY", "memory"),
        ({}, "FAILED", "memory"),
        ({}, "TIMEOUT", "time"),
        ({}, "NODE_FAIL", ""),
        ({}, "CANCELLED by 0", ""),
        ({"slurm": ""}, "FAILED", ""),  # a local run
    ],
)
def test_how_an_attempt_ended_tells_what_it_lacked(
    attempt: dict[str, Any], state: str, lack: str, clients: Path
) -> None:
    client(clients, "sacct", state)
    assert lacked({**GONE, **GRANTED, **attempt}, []) == lack


def test_without_accounting_a_kill_is_taken_for_memory(clients: Path) -> None:
    client(clients, "sacct", "Slurm accounting storage is disabled", 1)
    assert lacked({**GONE, **GRANTED}, []) == "memory"


def test_a_job_that_slurm_started_again_lacked_nothing(clients: Path) -> None:
    client(clients, "sacct", "FAILED")
    assert lacked({**GONE, **GRANTED}, [{**GONE, "began": 1.0}]) == ""


def test_an_attempt_writes_down_what_it_was_granted_and_how_it_ended(
    tmp_path: Path, clients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    client(clients, "sacct", "RUNNING")
    client(clients, "squeue", "1-02:00:00|2.50G")
    store = Store(tmp_path / "store")
    record = Record(store, JOB)
    assert lacked(attempts(store, JOB)[0], []) == ""
    record.ended(MemoryError(), ["item"])
    [attempt] = attempts(store, JOB)
    assert (attempt["minutes"], attempt["memory"], attempt["slurm"]) == (1560, 2560, "12")
    assert (attempt["how"], attempt["made"], attempt["pid"]) == ("memory", ["item"], os.getpid())
    assert wanted(store, JOB) == (5120, 0)


def test_each_resource_grows_for_its_own_cause_only(tmp_path: Path, clients: Path) -> None:
    store = Store(tmp_path / "store")
    client(clients, "squeue", "1:00:00|4000M")
    os.environ.pop("SLURM_JOB_ID", None)
    assert wanted(store, JOB) == (0, 0)
    for seconds in (10.0, 3500.0):
        record = Record(store, JOB)
        record._me.update(GONE, **GRANTED, slurm="9", began=time.time() - seconds)
        record.told_to_stop()
        record.ended(RuntimeError(), [])
    assert wanted(store, JOB) == (0, 120)


@pytest.mark.parametrize(
    ("text", "minutes"), [("30:00", 30), ("4:00:00", 240), ("2-00:30:00", 2910), ("UNLIMITED", 0)]
)
def test_time_limits_are_read(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize(
    ("text", "mb"), [("4000M", 4000), ("2.50G", 2560), ("1T", 2**20), ("", 0), ("N/A", 0)]
)
def test_memory_is_read(text: str, mb: int) -> None:
    assert megabytes_of(text) == mb
