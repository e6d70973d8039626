"""Leases: at most one live job makes an item.

A lease is a file created with O_EXCL that names its holder and is touched every few seconds. It
is stale when its holder is a dead process of this machine, or when nobody touched it for
`EXPIRY` seconds. A lost race costs time, never bytes: publishing is a rename that fails if the
item is there.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from functools import lru_cache
from pathlib import Path

HEARTBEAT = 5.0  # seconds between touches
EXPIRY = 120.0  # seconds without a touch after which a lease of another machine is stale


def me(job: str = "") -> dict[str, object]:
    """Who this process is: machine, pid, and the pid's start time (pids are reused)."""
    pid = os.getpid()
    slurm = os.environ.get("SLURM_JOB_ID", "")
    return {
        "host": socket.gethostname(),
        "machine": machine(),
        "pid": pid,
        "started": started(pid),
        "job": job,
        "slurm": slurm,
    }


@lru_cache
def machine() -> str:
    """Where pids mean what they mean here; "" if this is not Linux.

    Host names do not tell it: those of containers and of nodes booted from one image can be alike.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def started(pid: int) -> str:
    """The kernel's start time of a process, or "" if it is gone (or this is not Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def describe(holder: dict[str, object]) -> str:
    """Who `holder` is, for people."""
    job = f" (SLURM job {holder['slurm']})" if holder.get("slurm") else ""
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}{job}"


def alive(holder: dict[str, object], touched: float, now: float | None = None) -> bool:
    """Whether the process that `holder` describes can still be working.

    `now` is the time by the clock that `touched` was written with, if that is known to be another
    one than this machine's.
    """
    if machine() and holder.get("machine") == machine():
        begun = started(int(str(holder.get("pid", -1))))
        return bool(begun) and begun == holder.get("started")
    return (time.time() if now is None else now) - touched < EXPIRY


def read(path: Path) -> tuple[dict[str, object], float] | None:
    """The holder of a lease file and when it was last touched; None if there is no lease."""
    try:
        touched = path.stat().st_mtime
        return json.loads(path.read_text(encoding="utf-8") or "{}"), touched
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:  # its holder died while writing it
        return {"host": "?"}, touched


class Lease:
    """One lease file, held until `release`."""

    def __init__(self, path: Path, job: str) -> None:
        self.path = path
        self._text = json.dumps(me(job), sort_keys=True)
        self._stop = threading.Event()
        self._now: float | None = None  # by the file server's clock, which dates all leases

    def acquire(self) -> dict[str, object] | None:
        """Take the lease; return None on success, else its live holder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            if self._create():
                threading.Thread(target=self._beat, daemon=True).start()
                return None
            found = read(self.path)
            if found is None:
                continue  # released between the two calls
            if alive(*found, self._now):
                return found[0]
            self._break()

    def release(self) -> None:
        """Give the lease back, if it is still ours."""
        self._stop.set()
        try:
            if self.path.read_text(encoding="utf-8") == self._text:
                self.path.unlink()
        except FileNotFoundError:
            pass

    def _create(self) -> bool:
        # link() of a finished file: a lease is never seen empty, and only one of two links wins
        draft = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}")
        draft.write_text(self._text, encoding="utf-8")
        self._now = draft.stat().st_mtime
        try:
            os.link(draft, self.path)
            return True
        except FileExistsError:
            return False
        finally:
            draft.unlink()

    def _break(self) -> None:
        """Remove a stale lease; of several breakers one rename wins."""
        grave = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.stale")
        try:
            self.path.rename(grave)
        except FileNotFoundError:
            return
        found = read(grave)
        if found is not None and alive(*found, self._now):  # it changed hands under us: put it back
            try:
                os.link(grave, self.path)
            except FileExistsError:
                pass
        grave.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                os.utime(self.path)
            except FileNotFoundError:
                return
            except OSError:  # a file server that hangs may come back
                continue
