"""What became of the attempts at a job: one small file for each job, ``.history/<digest>.json``.

The next attempt asks the cluster for more of what the last one lacked, and attempts that finished
tell how fast this cluster is. Nothing of it enters an item.

What an attempt lacked is told from how it ended. SIGTERM close to the time limit: time. A failed
allocation that Python saw: memory. No word at all (SIGKILL): what the accounting of SLURM says,
and memory if it has no name for it. SIGTERM earlier (preempted, cancelled) and ordinary errors:
nothing. Two causes that cannot be told apart are preemption within the last minutes before the
limit, taken for the limit, and a SIGKILL from outside where SLURM keeps no accounting, taken for
memory: in both the next attempt asks for more than it needs, and works all the same.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from interpsweep.errors import out_of_main_memory
from interpsweep.store.layout import Store, write_atomic
from interpsweep.store.lease import me

KEPT = 10  # attempts remembered for each job
MARGIN = 300.0  # seconds: told to stop this close to the time limit, a job had too little time
Attempt = dict[str, Any]
Lacked = Literal["time", "memory", ""]


def attempts(store: Store, job: str) -> list[Attempt]:
    """The attempts at a job, oldest first; none if there is no (readable) record."""
    try:
        return list(json.loads(store.history_path(job).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError):
        return []


class Record:
    """The running attempt at a job, written down as it goes on."""

    def __init__(self, store: Store, job: str) -> None:
        self._store, self._job = store, job
        self._path: Path = store.history_path(job)
        self._me: Attempt = {**me(job), **granted(), "began": time.time()}
        self._save()

    def told_to_stop(self) -> None:
        """Write down that somebody asked this process to end."""
        self._me.setdefault("stopped", time.time())
        self._save()

    def ended(self, error: BaseException | None, made: list[str]) -> None:
        """Write down how the attempt ended and which items it made."""
        how = "done" if error is None else "memory" if out_of_main_memory(error) else "failed"
        self._me.update(ended=time.time(), how=how, made=made)
        self._save()

    def _save(self) -> None:
        others = [a for a in attempts(self._store, self._job) if a["began"] != self._me["began"]]
        with suppress(OSError):  # no room to remember it in is no reason to fail
            write_atomic(self._path, json.dumps([*others, self._me][-KEPT:], sort_keys=True) + "\n")


def granted() -> Attempt:
    """Minutes and MB that SLURM gave to this job; nothing outside of SLURM."""
    job = os.environ.get("SLURM_JOB_ID")
    answer = _ask("squeue", "--noheader", "--job", job, "--format", "%l|%m") if job else ""
    limit, _, memory = answer.strip().partition("|")
    found = {"minutes": minutes_of(limit), "memory": megabytes_of(memory)}
    return {key: value for key, value in found.items() if value}


def minutes_of(text: str) -> int:
    """Minutes in SLURM's ``[days-]hours:minutes:seconds`` (or ``minutes:seconds``); else 0."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if match is None:
        return 0
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + minutes


def megabytes_of(text: str) -> int:
    """MB in SLURM's ``4000M``, ``2.50G``, ...; 0 if it is something else."""
    match = re.fullmatch(r"([\d.]+)([KMGT]?)c?n?", text.strip())
    if match is None:
        return 0
    scale = {"K": 2**-10, "": 1, "M": 1, "G": 2**10, "T": 2**20}[match[2]]
    return round(float(match[1]) * scale)


def _ask(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout if result.returncode == 0 else ""


def lacked(attempt: Attempt, later: list[Attempt]) -> Lacked:
    """What an attempt had too little of, given the attempts after it."""
    how = attempt.get("how")
    if not attempt.get("slurm") or how == "done":
        return ""
    if how == "memory":
        return "memory"
    if "stopped" in attempt:
        limit = 60.0 * attempt.get("minutes", 0)
        left = attempt["began"] + limit - attempt["stopped"]
        return "time" if limit and left < min(MARGIN, limit / 2) else ""
    if how == "failed":
        return ""
    if any(a.get("slurm") == attempt["slurm"] for a in later):
        return ""  # SLURM itself started it again
    state = _ask("sacct", "-X", "-n", "-P", "-o", "State", "-j", attempt["slurm"]).split(" ")[0]
    return _KILLED.get(state.strip(), "")


# states of a job whose process ended without a word -> what it lacked
_KILLED: dict[str, Lacked] = {
    "OUT_OF_MEMORY": "memory",
    "FAILED": "memory",  # where SLURM polls memory it has no other name for it
    "": "memory",  # no accounting
    "TIMEOUT": "time",
}


def wanted(store: Store, job: str) -> tuple[int, int]:
    """(MB, minutes) that the next attempt needs at least: twice what was too little; or zeros."""
    history = attempts(store, job)
    memory = minutes = 0
    for number, attempt in enumerate(history):
        lack = lacked(attempt, history[number + 1 :])
        if lack == "memory":
            memory = max(memory, 2 * attempt.get("memory", 0))
        elif lack == "time":
            minutes = max(minutes, 2 * attempt.get("minutes", 0))
    return memory, minutes
