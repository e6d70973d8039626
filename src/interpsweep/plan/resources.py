"""What a job asks a cluster for: memory, time, disk; from its settings and from earlier jobs.

What an item takes, in bytes and work, is said by the record of its stage (`stages/`). Time is that
work at the configured speed, corrected by what finished jobs of the stage took in this store. Both
are generous: a job that asks for too much waits a little longer, one that gets too little is lost
back to its checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from interpsweep.plan import estimate as e
from interpsweep.plan.build import Plan, there
from interpsweep.plan.jobs import Job
from interpsweep.stages import STAGES, Stage
from interpsweep.stages.record import PROCESS
from interpsweep.stages.sizes import MB, Shape, Sizes, Work
from interpsweep.store import Store, history

SPARE = 1.25  # of memory
STEP = 500  # MB: memory is asked for in multiples of this
STARTING = 60.0  # seconds until a job is at work
PATIENCE = 3.0  # time asked for, in multiples of the time expected
LEAST = 10  # minutes asked for at least
TELLING = 60.0  # seconds: shorter jobs tell nothing about speed


@dataclass(frozen=True)
class Request:
    """What a job asks for."""

    memory: int  # MB
    minutes: int
    disk: int  # MB
    seconds: float  # that it is expected to take
    gpu_memory: int = 0  # MB that a training job needs on the GPU; SLURM is not asked for it


class Requests:
    """What the jobs of a plan ask for, given what the store holds; `on_gpu` are stages."""

    def __init__(self, plan: Plan, store: Store, on_gpu: Collection[str]) -> None:
        self._plan, self._store, self._on_gpu = plan, store, on_gpu

    def of(self, job: Job) -> Request:
        """What the next attempt at a job asks for: more than the last one if that lacked it."""
        run = self._plan.sweep.run
        items = [item for item in self._plan.members(job) if not there(self._store, item)]
        stage = STAGES[job.stage]
        sizes = [e.sizes_of(self._plan, item, self._shapes) for item in items]
        work = e.job_work(self._plan, items, self._shapes)
        seconds = STARTING + self._seconds(job.stage, work) * self._corrections.get(job.stage, 1.0)
        memory = run.memory or _rounded(self._memory(stage, sizes) * SPARE)
        minutes = run.runtime or max(LEAST, math.ceil(PATIENCE * seconds / 60))
        more_memory, more_minutes = history.wanted(self._store, job.digest)
        return Request(
            memory=max(memory, more_memory),
            minutes=max(minutes, more_minutes),
            disk=math.ceil(work.bytes / MB) + 100,
            seconds=seconds,
            gpu_memory=_rounded(sum(map(stage.each, sizes))) if stage.packed else 0,
        )

    def _seconds(self, stage: str, work: Work) -> float:
        """Seconds of work at the configured speed."""
        run = self._plan.sweep.run
        on_gpu = stage in self._on_gpu and run.device != "cpu"
        speed = run.gpu_tflops if on_gpu else run.cpu_tflops * run.threads
        workers = 1 if run.engine == "serial" else run.workers
        return work.flop / (speed * 1e12) + work.seconds / workers

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        return e.model_shapes(self._plan, self._store)

    @cached_property
    def _corrections(self) -> dict[str, float]:
        """Stage -> how much longer finished jobs took than expected: the worst of them."""
        worst: dict[str, float] = {}
        for path in sorted((self._store.root / ".history").glob("*.json")):
            for attempt in history.attempts(self._store, path.stem):
                made = [self._plan.items.by_digest.get(item) for item in attempt.get("made", [])]
                items = [item for item in made if item is not None]
                took = attempt.get("ended", 0.0) - attempt["began"]
                if attempt.get("how") != "done" or not items or len(items) < len(made):
                    continue
                stage = items[0].stage
                expected = self._seconds(stage, e.job_work(self._plan, items, self._shapes))
                if took > TELLING and expected > 0:
                    worst[stage] = max(worst.get(stage, 0.0), took / expected)
        return worst

    def _memory(self, stage: Stage, sizes: list[Sizes]) -> float:
        """Bytes that a job holds at most."""
        if not sizes:
            return PROCESS["numpy"]
        if stage.at_once:
            held = stage.held(sizes[0]) + sum(map(stage.each, sizes))
        else:
            held = max(stage.held(item) + stage.each(item) for item in sizes)
        return PROCESS[stage.engine] + held


def _rounded(size: float) -> int:
    """Bytes as MB, up to a whole multiple of `STEP`."""
    return STEP * math.ceil(size / MB / STEP)
