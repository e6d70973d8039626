"""What a new driver does about jobs in the queue; the queue is a file here, the clients real calls."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from interpsweep import slurm
from interpsweep.driver import DriverLock
from interpsweep.errors import UserError
from interpsweep.store import Store
from interpsweep.store.lease import me

WANTED, OTHER, ITEM = "ab" * 32, "cd" * 32, "ef" * 32


class Queue:
    """``squeue`` and ``scancel`` over a file: what is cancelled is gone, what runs ends by and by."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.file, self.folder, self.cancelled = root / "queue", folder, root / "cancelled"
        self.file.write_text("")
        self._client(
            root / "squeue",
            f"cat {self.file}; grep -v RUNNING {self.file} > {root}/next; mv {root}/next {self.file}",
        )
        self._client(
            root / "scancel",
            f'for id; do echo $id >> {self.cancelled}; sed -i "/^$id|/d" {self.file}; done',
        )

    @staticmethod
    def _client(path: Path, script: str) -> None:
        path.write_text(f"#!/bin/sh\n{script}\nexit 0\n")
        path.chmod(0o755)

    def add(self, number: int, state: str, job: str, folder: Path | None = None) -> None:
        line = f"{number}|{state}|{folder or self.folder}|rule_train_wildcards_one_{job}\n"
        self.file.write_text(self.file.read_text() + line)

    @property
    def gone(self) -> list[str]:
        return self.cancelled.read_text().split() if self.cancelled.exists() else []


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "POLL", 0.01)
    return Queue(tmp_path / "bin", tmp_path)


@pytest.fixture
def plan() -> Any:
    items = SimpleNamespace(by_digest={ITEM: None})
    return SimpleNamespace(job={WANTED: None}, items=items)


def hold(store: Store, number: str) -> None:
    path = store.lease_path(ITEM)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**me(), "slurm": number}))


def test_what_waits_is_cancelled_and_what_runs_is_waited_for(
    queue: Queue, plan: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    queue.add(1, "PENDING", WANTED)
    queue.add(2, "RUNNING", WANTED)
    queue.add(3, "PENDING", OTHER)  # of another sweep
    queue.add(4, "PENDING", WANTED, Path("/elsewhere"))  # of another folder
    slurm.settle_leftovers(plan, Store(), "wait")
    assert queue.gone == ["1"]
    said = capsys.readouterr().err
    assert "cancelling jobs of an earlier run: 1 (rule_train)" in said
    assert "waiting for jobs of an earlier run: 2 (rule_train)" in said


def test_what_runs_is_cancelled_too_if_so_configured(queue: Queue, plan: Any) -> None:
    queue.add(2, "RUNNING", WANTED)
    queue.add(3, "COMPLETING", OTHER)
    slurm.settle_leftovers(plan, Store(), "cancel")
    assert queue.gone == ["2"]


def test_a_job_that_holds_a_lease_counts_whatever_it_was_submitted_for(
    queue: Queue, plan: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(Store(), "3")
    queue.add(3, "RUNNING", OTHER)
    slurm.settle_leftovers(plan, Store(), "wait")
    assert "waiting for jobs of an earlier run: 3" in capsys.readouterr().err


def test_a_job_that_waits_again_is_cancelled_too(queue: Queue, plan: Any) -> None:
    """It was running, and SLURM took it back into the queue."""
    queue.add(2, "COMPLETING", WANTED)
    queue.add(2, "PENDING", WANTED)
    slurm.settle_leftovers(plan, Store(), "wait")
    assert queue.gone == ["2"]


def test_a_silent_controller_stops_the_run_only_if_somebody_may_be_at_work(
    queue: Queue, plan: Any
) -> None:
    Queue._client(Path("bin/squeue"), "echo 'Unable to contact slurm controller' >&2; exit 1")
    slurm.settle_leftovers(plan, Store(), "wait")
    hold(Store(), "3")
    with pytest.raises(UserError, match="Unable to contact"):
        slurm.settle_leftovers(plan, Store(), "wait")


def test_a_driver_of_another_sweep_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    mine = DriverLock("mine", store).acquire()
    assert not mine.others()
    other = DriverLock("other", store).acquire()
    assert mine.others()
    other.release()
    assert not mine.others()
    mine.release()
