"""What a new driver does about SLURM jobs that an earlier one left behind.

A driver that dies (a login node that restarts, SIGKILL) leaves its jobs in the queue. Leases keep
two jobs off one item, so nothing would break, but the new driver's jobs would hold GPUs only to
wait. So those that wait in the queue are cancelled (they are submitted again), and those that run
are waited for, or cancelled too, in which case they save and are submitted again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from interpsweep.errors import UserError
from interpsweep.plan import Plan
from interpsweep.store import Store
from interpsweep.store import lease as leases

POLL = 5.0  # seconds between looks at the queue
WAITING = ("PENDING", "SUSPENDED", "REQUEUE_HOLD", "REQUEUED", "SPECIAL_EXIT")


@dataclass(frozen=True)
class Queued:
    """A job in the queue of a cluster."""

    number: str
    state: str
    what: str  # the comment of the executor plugin: rule and wildcards

    @property
    def waits(self) -> bool:
        """Whether it has not started, or has to start again."""
        return self.state in WAITING


def settle_leftovers(plan: Plan, store: Store, running: Literal["wait", "cancel"]) -> None:
    """Leave no job of an earlier driver of this sweep in the queue.

    Raises UserError if jobs may be alive and the queue does not answer.
    """
    if shutil.which("squeue") is None:
        return
    held = _holders(plan, store)
    cancelled: set[str] = set()
    waited_for: set[str] = set()
    while found := leftovers(plan, held):
        doomed = {job for job in found if job.waits or running == "cancel"}
        _cancel([job for job in found if job in doomed and job.number not in cancelled])
        cancelled |= {job.number for job in doomed}
        new = [job for job in found if job.number not in cancelled | waited_for]
        _say("waiting for", new)
        waited_for |= {job.number for job in new}
        time.sleep(POLL)


def leftovers(plan: Plan, held: set[str]) -> list[Queued]:
    """Jobs in the queue that were submitted for this plan, or that hold leases of its items."""
    try:
        queue = _queue()
    except UserError:
        if held:  # somebody may be at work
            raise
        return []
    here = str(Path.cwd())
    return [
        job
        for job, folder in queue
        if job.number in held or (folder == here and job.what.rpartition("_")[2] in plan.job)
    ]


def _queue() -> list[tuple[Queued, str]]:
    """The user's jobs in the queue, each with its working folder."""
    text = _call("squeue", "--noheader", "--me", "--format", "%i|%T|%Z|%k")
    found = []
    for line in text.splitlines():
        number, state, folder, comment = line.split("|", 3)
        found.append((Queued(number, state, comment), folder))
    return found


def _holders(plan: Plan, store: Store) -> set[str]:
    """SLURM jobs that may be holding leases of the plan's items."""
    found = set()
    for item in plan.items.by_digest:
        held = leases.read(store.lease_path(item))
        if held is not None and held[0].get("slurm") and leases.alive(*held):
            found.add(str(held[0]["slurm"]))
    return found


def _call(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise UserError(
            f"{command[0]} failed: {result.stderr.strip()}. Jobs of an earlier run may be alive; "
            "run the same command when the cluster answers again"
        )
    return result.stdout


def _cancel(jobs: list[Queued]) -> None:
    _say("cancelling", jobs)
    if jobs:  # one that has just ended makes it fail; the next look at the queue tells
        subprocess.run(["scancel", *(job.number for job in jobs)], capture_output=True, check=False)


def _say(verb: str, jobs: list[Queued]) -> None:
    if jobs:
        names = ", ".join(f"{job.number} ({job.what.split('_wildcards_')[0]})" for job in jobs)
        print(f"interpsweep: {verb} jobs of an earlier run: {names}", file=sys.stderr, flush=True)
