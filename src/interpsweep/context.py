"""What a stage may know about the run it is part of, and the items it is to make.

Nothing here can change a result.
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from interpsweep.blockmap import block_map, dask_client
from interpsweep.errors import UserError
from interpsweep.spec import Spec
from interpsweep.store import Store, failures
from interpsweep.store.attempt import publish
from interpsweep.store.layout import write_quick
from interpsweep.store.lease import Lease, me

Inputs = dict[str, Any]  # role -> Path, or list of Paths
Block = TypeVar("Block")
Result = TypeVar("Result")

REPORT_EVERY = 1.0  # seconds between writes of the progress file
LOG_EVERY = 15.0  # seconds between progress lines in a log


class Bar:
    """Progress of one piece of work; see `Context.bar`."""

    def __init__(self, context: Context, total: float, what: str, unit: str) -> None:
        self.total, self.what, self.unit, self.done = total, what, unit, 0.0
        self._context = context
        self._began = self._logged = time.monotonic()
        self._written = 0.0

    def advance(self, amount: float = 1) -> None:
        """Say that `amount` more units are done."""
        self.done += amount
        now = time.monotonic()
        if now - self._written >= REPORT_EVERY:
            self._written = now
            self._context.report(what=self.what, done=self.done, total=self.total, unit=self.unit)
        if now - self._logged >= LOG_EVERY:
            self._logged = now
            self._context.log(self.line(now))

    def line(self, now: float) -> str:
        """One line of text: how far, how fast, how long still."""
        rate = self.done / max(now - self._began, 1e-9)
        left = (self.total - self.done) / rate if rate > 0 else float("inf")
        share = 100 * self.done / self.total if self.total else 100
        return f"{self.what}: {share:.0f}% ({rate:,.0f} {self.unit}/s, {left:,.0f} s left)"


class Context:
    """Device, workers, outside files, progress and the stop flag of one job.

    Everything here may differ between two runs of the same job without changing a byte of what
    the job makes.
    """

    def __init__(
        self,
        *,
        device: str = "auto",
        threads: int = 1,
        engine: str = "threads",
        workers: int = 1,
        checkpoint_seconds: float = 60.0,
        outside: Mapping[str, Callable[[], Path]] | None = None,
        progress: Path | None = None,
        job: str = "",
    ) -> None:
        self._device, self.threads = device, threads
        self.engine, self.workers = engine, workers
        self.checkpoint_seconds = checkpoint_seconds
        self._outside = outside or {}
        self._progress, self._job = progress, job
        self.stopping = False
        self.record_: dict[str, Any] = {}
        self._workers: ExitStack | None = None
        self._logged: set[str] = set()

    @cached_property
    def device(self) -> str:
        """The torch device: as configured, or the GPU if there is one."""
        if self._device != "auto":
            return self._device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    def external(self, identity: str) -> Path:
        """The file or folder outside the store whose content digest is `identity`.

        Raises UserError if the lock does not name it, it is gone, or it changed since.
        """
        if identity not in self._outside:
            raise UserError(f"{identity}: not in the lock file; run `interpsweep lock` again")
        return self._outside[identity]()

    def block_map(
        self, function: Callable[[Block], Result], blocks: Iterable[Block], what: str = "blocks"
    ) -> Iterator[Result]:
        """`blockmap.block_map` with this run's engine and workers, and progress."""
        blocks = list(blocks)
        if self.engine.startswith("dask") and self._workers is None:  # one set for the whole job
            self._workers = ExitStack()
            self._workers.enter_context(dask_client(self.engine, self.workers))  # type: ignore[arg-type]
        with self.bar(len(blocks), what, unit="blocks") as bar:
            results = block_map(function, blocks, engine=self.engine, workers=self.workers)  # type: ignore[arg-type]
            for result in results:
                yield result
                bar.advance()

    @contextmanager
    def bar(self, total: float, what: str, unit: str = "items") -> Iterator[Bar]:
        """Show progress of `total` units of work: ``bar.advance(n)`` as they get done."""
        bar = Bar(self, total, what, unit)
        bar.advance(0)
        yield bar
        self.report(what=what, done=bar.done, total=total, unit=unit)

    def record(self, **facts: Any) -> None:
        """Keep facts about this run (throughput, memory, batch halvings) in run.json."""
        self.record_.update(facts)

    def log(self, message: str) -> None:
        """Write a line to the job's log."""
        print(message, file=sys.stderr, flush=True)

    def log_once(self, message: str) -> None:
        """Write a line to the job's log unless it is there already."""
        if message not in self._logged:
            self._logged.add(message)
            self.log(message)

    def report(self, **state: Any) -> None:
        """Write the progress file that `interpsweep status` and the live display read."""
        if self._progress is None:
            return
        text = json.dumps({**me(self._job), **state, "time": time.time()})
        with suppress(OSError):  # no room to say how far it is in is no reason to fail
            self._progress.parent.mkdir(parents=True, exist_ok=True)
            write_quick(self._progress, text)

    def finish(self) -> None:
        """Remove the progress file and let go of workers."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None
        if self._progress is not None:
            self._progress.unlink(missing_ok=True)

    def stop_on_signals(self, told: Callable[[], None]) -> None:
        """Turn SIGTERM and Ctrl-C into the flag `stopping`: stages save at the end of a step.

        `told` is called when the first signal comes.
        A second Ctrl-C ends the process at once. A second SIGTERM does not: SLURM sends two in a
        row and means one, and SIGKILL follows anyway if saving takes too long.
        """

        def handler(number: int, _frame: object) -> None:
            if not self.stopping:
                self.stopping = True
                told()
            if number == signal.SIGINT:
                signal.signal(number, signal.SIG_DFL)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handler)


@dataclass
class Item:
    """One item that this job is to make."""

    digest: str
    spec: Spec
    inputs: Inputs
    out: Path
    _store: Store
    _lease: Lease
    _context: Context
    failed: str = ""  # why it cannot be made
    _began: float = field(default_factory=time.monotonic)

    def publish(self, metrics: dict[str, Any]) -> None:
        """Move the finished item into the store. Call it the moment the item is done."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        record = {
            "host": socket.gethostname(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": round(time.monotonic() - self._began, 3),
            "peak_memory_bytes": usage.ru_maxrss * 1024,
            **self._context.record_,
        }
        place = publish(self._store, self.spec, self.digest, self.out, metrics, record)
        self._lease.release()
        self._context.log(f"made {place}")

    def fail(self, reason: str) -> None:
        """Write down that this item cannot be made, and why; the job goes on with the others."""
        self.failed = reason
        failures.write(self._store, failures.Failure(self.digest, reason, self.digest))
        self._context.log(f"cannot make {self._store.path(self.spec, self.digest)}: {reason}")
        self._lease.release()

    def abandon(self) -> None:
        """Give the lease back; the attempt folder stays for the next try."""
        self._lease.release()


class Stopped(Exception):
    """A stage saved its state because it was asked to stop; the same command continues it."""
