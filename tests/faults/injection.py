"""Jobs in child processes whose calls to the operating system fail, or end them, where we say.

Python announces every file it opens, renames, links, makes or removes to its audit hooks, and a
hook that raises makes the call fail: so the Nth call of a job can be made to fail, or the process
be killed at it, without a word about faults in the program. Writes that happen outside of Python
(Parquet, safetensors) are cut short by a limit on file sizes instead. Children are forks of a
process that has imported everything, which makes hundreds of attempts affordable.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from threadpoolctl import threadpool_limits

from interpsweep.context import Stopped
from interpsweep.errors import UserError

CHANGING = {"os.rename", "os.link", "os.symlink", "os.mkdir"}
REMOVING = {"os.remove", "os.rmdir"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

Action = Literal["count", "fail", "full", "kill"]


@dataclass(frozen=True)
class Fault:
    """What happens at the `nth` call (from 1) that changes something below the working folder.

    ``fail``: an input/output error, once. ``full``: no space from there on, for all but removals.
    ``kill``: SIGKILL. ``count``: nothing. With a `place`, only calls whose path begins so count.
    """

    action: Action = "count"
    nth: int = 0
    place: str = ""


@dataclass
class Outcome:
    """How a child ended."""

    status: int  # as the command line's; -9 if killed
    text: str  # what it printed
    calls: list[str]  # the calls it made, as ``event path``

    @property
    def last(self) -> str:
        return self.calls[-1] if self.calls else ""


class Child:
    """A fork that runs `work` with `root` as its folder; no file grows over `largest` bytes."""

    def __init__(
        self,
        root: Path,
        work: Callable[[], Any],
        fault: Fault | None = None,
        largest: int | None = None,
    ) -> None:
        name = uuid.uuid4().hex[:8]
        self._said, self._calls = root / f"{name}.said", root / f"{name}.calls"
        self.pid = os.fork()
        if self.pid == 0:
            _child(root, work, fault, largest, self._said, self._calls)

    def wait(self) -> Outcome:
        """How it ended."""
        _, code = os.waitpid(self.pid, 0)
        text = self._said.read_text(errors="replace")
        made = self._calls.read_text().splitlines() if self._calls.exists() else []
        for file in (self._said, self._calls):
            file.unlink(missing_ok=True)
        return Outcome(os.waitstatus_to_exitcode(code), text, made)


def in_child(
    root: Path, work: Callable[[], Any], fault: Fault | None = None, largest: int | None = None
) -> Outcome:
    """Run `work` in a `Child` and wait for it."""
    return Child(root, work, fault, largest).wait()


def _child(
    root: Path,
    work: Callable[[], Any],
    fault: Fault | None,
    largest: int | None,
    said: Path,
    calls: Path,
) -> None:
    status = 1
    try:
        os.chdir(root)
        handle = os.open(said, WRITING & ~os.O_RDWR | os.O_WRONLY, 0o600)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        # pytest has put other objects there
        sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        if largest is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        if fault is not None:
            _arm(fault, root, os.open(calls, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        with threadpool_limits(1):  # as every job has it; pytest, whose copy this is, has not
            work()
        status = 0
    except UserError as error:
        os.write(2, f"interpsweep: {error}\n".encode())
        status = 2
    except Stopped:
        status = 75
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _arm(fault: Fault, root: Path, log: int) -> None:
    top, made = str(root), 0

    def call(event: str, path: Any) -> None:
        nonlocal made
        if not isinstance(path, str | bytes | os.PathLike):
            return
        place = os.path.abspath(os.fsdecode(path))
        if not place.startswith(os.path.join(top, fault.place)):
            return
        made += 1
        os.write(log, f"{event} {os.path.relpath(place, top)}\n".encode())
        if fault.action == "kill" and made == fault.nth:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.action == "fail" and made == fault.nth:
            raise OSError(errno.EIO, "injected", place)
        if fault.action == "full" and made >= fault.nth and event not in REMOVING:
            raise OSError(errno.ENOSPC, "injected", place)

    def hook(event: str, args: tuple) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & WRITING:
                call(event, path)
        elif event in CHANGING or event in REMOVING:
            call(event, args[1] if event == "os.rename" else args[0])

    real = os.fsync

    def fsync(handle: int) -> None:
        call("os.fsync", os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    os.fsync = fsync
    sys.addaudithook(hook)


def job_file(root: Path, stage: str, items: list[str], **run: Any) -> Path:
    """Write a job that makes `items`; relative to `root`."""
    from interpsweep.spec import digest
    from interpsweep.store import Store

    path = Store(root / "store").spec_path(digest({"stage": stage, "items": items}))
    settings = {"device": "cpu", "threads": 1, "engine": "serial", **run}
    path.write_text(json.dumps({"stage": stage, "items": items, "run": settings}))
    return path.relative_to(root)
