"""Several workers want the same items: one writes them, the others wait, and no byte differs.

INTERPSWEEP_KILLS sets how often they race (5).
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from conftest import Bench
from injection import Child, job_file

from interpsweep.jobs import run_job
from interpsweep.stages import STAGES
from interpsweep.store import Store
from interpsweep.store import lease as leases

RACES = int(os.environ.get("INTERPSWEEP_KILLS", "5"))
WORKERS = 4


def start(bench: Bench, log: str) -> subprocess.Popen[bytes]:
    """A worker as a rule starts it, its words in a file."""
    job = job_file(bench.root, bench.stage, [bench.item])
    command = [sys.executable, "-m", "interpsweep", bench.stage, "--spec", str(job)]
    with (bench.root / log).open("wb") as said:
        return subprocess.Popen(
            [*command, "--index", f"{log}.json"], cwd=bench.root, stdout=said, stderr=said
        )


def until(true: Callable[[], object], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.005)


def says(bench: Bench, log: str) -> str:
    return (bench.root / log).read_text(errors="replace")


@pytest.mark.parametrize("bench", ["match"], indirect=True)
@pytest.mark.parametrize("first_ends", ["well", "killed"])
def test_the_second_of_two_workers_waits_for_the_first(bench: Bench, first_ends: str) -> None:
    """The first is frozen while it holds the lease, then goes on or dies."""
    first = start(bench, "first")
    lease = bench.store.lease_path(bench.item)
    until(lease.exists, "the first to begin")
    first.send_signal(signal.SIGSTOP)
    assert bench.made() is None
    second = start(bench, "second")
    until(lambda: "waiting" in says(bench, "second"), "the second to wait")
    assert f"process {first.pid} on" in says(bench, "second")
    time.sleep(5)  # more than two of its looks
    assert second.poll() is None and bench.made() is None
    holder = leases.read(lease)
    assert holder is not None and holder[0]["pid"] == first.pid
    if first_ends == "killed":
        first.kill()
    first.send_signal(signal.SIGCONT)
    assert first.wait(300) == (-9 if first_ends == "killed" else 0), says(bench, "first")
    assert second.wait(300) == 0, says(bench, "second")
    writer, other = ("second", "first") if first_ends == "killed" else ("first", "second")
    assert "made store/" in says(bench, writer) and "made store/" not in says(bench, other)
    assert bench.made() == bench.wanted
    assert bench.litter() == []
    assert (bench.root / "second.json").exists()


@pytest.mark.parametrize("bench", ["tree", "concepts"], indirect=True)
def test_of_workers_that_start_at_once_one_writes(bench: Bench) -> None:
    importlib.import_module(STAGES[bench.stage].module)
    job = job_file(bench.root, bench.stage, [bench.item])
    for _ in range(RACES):
        begin = time.monotonic() + 0.3

        def work(begin: float = begin) -> None:
            time.sleep(max(0.0, begin - time.monotonic()))
            run_job(Store(), job)

        outcomes = [child.wait() for child in [Child(bench.root, work) for _ in range(WORKERS)]]
        texts = [outcome.text for outcome in outcomes]
        assert [outcome.status for outcome in outcomes] == [0] * WORKERS, texts
        assert sum("made store/" in text for text in texts) == 1, texts
        assert bench.made() == bench.wanted and bench.torn() == [] and bench.litter() == []
        bench.take_away()
    print(f"{bench.stage}: {RACES} races of {WORKERS} workers, one writer in each")
