"""What a job asks a cluster for: memory, time, disk; from its settings and from earlier jobs.

Bytes are counted from the arrays that a stage holds at once, on top of what Python, torch and the
two Snakemakes around a job take. Time is the work of `plan.estimate` at the configured speed,
corrected by what finished jobs of the same stage took in this store. Both are generous: a job that
asks for too much waits a little longer, one that gets too little is lost back to its checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interpsweep.plan import estimate as e
from interpsweep.plan import work as w
from interpsweep.plan.build import Plan, input_digests, there
from interpsweep.plan.items import PlannedItem
from interpsweep.plan.jobs import Job
from interpsweep.store import Store, history

MB = 1e6
TORCH, NUMPY = 1300 * MB, 900 * MB  # a process of ours and the Snakemakes around it
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
        work = e.job_work(self._plan, items, self._shapes)
        seconds = STARTING + self._seconds(job.stage, work) * self._corrections.get(job.stage, 1.0)
        memory = run.memory or _rounded(self._memory(job.stage, items) * SPARE)
        minutes = run.runtime or max(LEAST, math.ceil(PATIENCE * seconds / 60))
        more_memory, more_minutes = history.wanted(self._store, job.digest)
        return Request(
            memory=max(memory, more_memory),
            minutes=max(minutes, more_minutes),
            disk=math.ceil(work.bytes / MB) + 100,
            seconds=seconds,
            gpu_memory=_rounded(sum(map(self._training, items))) if job.stage == "train" else 0,
        )

    def _seconds(self, stage: str, work: w.Work) -> float:
        """Seconds of work at the configured speed."""
        run = self._plan.sweep.run
        on_gpu = stage in self._on_gpu and run.device != "cpu"
        speed = run.gpu_tflops if on_gpu else run.cpu_tflops * run.threads
        workers = 1 if run.engine == "serial" else run.workers
        return work.flop / (speed * 1e12) + work.seconds / workers

    @cached_property
    def _shapes(self) -> dict[str, w.Shape]:
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

    # ------------------------------------------------------------------ memory, in bytes

    def _memory(self, stage: str, items: list[PlannedItem]) -> float:
        if not items:
            return NUMPY
        if stage in ("train", "evaluate"):  # all at once
            return TORCH + self._shared(items[0]) + sum(map(self._training, items))
        if stage == "capture":
            return TORCH + self._shared(items[0]) + sum(map(self._captured, items))
        with_model = stage == "probe" and any("model" in i.spec["settings"] for i in items)
        base = TORCH if with_model or stage in ("model", "import", "encode") else NUMPY
        return base + max(self._shared(item) + self._alone(item) for item in items)

    def _shape(self, item: PlannedItem) -> w.Shape:
        return e.shape_of(item, self._shapes)

    def _chunk(self, item: PlannedItem) -> float:
        """Numbers in one chunk of the activations that an item reads or writes."""
        acts = item
        if item.stage != "capture":
            acts = self._plan.items.by_digest[item.spec["inputs"]["activations"]]
        return acts.spec["settings"]["chunk_rows"] * self._shape(item).d_model

    def _shared(self, item: PlannedItem) -> float:
        """What the items of a job hold once: the model, activations, logits."""
        shape, settings = self._shape(item), item.spec["settings"]
        model = 8.0 * (shape.parameters + 2 * shape.vocabulary * shape.d_model)
        if item.stage == "model":
            return 3 * model
        if item.stage == "capture":
            return model + settings["batch_tokens"] * shape.d_model * 160.0
        if item.stage == "evaluate":
            return model + settings["batch_tokens"] * (
                shape.d_model * 160.0 + shape.vocabulary * 12
            )
        if item.stage == "train":  # three blocks of chunks, and one being permuted
            return 4 * settings["block_chunks"] * 2.0 * self._chunk(item)
        if item.stage == "corpus":
            return 60.0 * w.corpus_settings(self._plan, item)["n_tokens"]
        if item.stage == "probe" and "model" in settings:  # activations between sites are kept
            return model + settings["batch_tokens"] * shape.d_model * 320.0
        if "activations" in item.spec["inputs"]:
            return self._plan.sweep.run.workers * 24.0 * self._chunk(item)
        return 3 * MB * len(input_digests(item.spec))

    def _captured(self, item: PlannedItem) -> float:
        """Chunks being filled and written, and the moments."""
        workers = self._plan.sweep.run.workers
        return 12.0 * self._chunk(item) + workers * 24.0 * self._shape(item).d_model ** 2

    def _training(self, item: PlannedItem) -> float:
        """Weights, gradients, optimiser, and a batch of pre-activations; evaluation needs less."""
        cells = self._shape(item).d_model * w.width_of(self._plan, item)
        if item.stage == "evaluate":
            return 16.0 * cells + 200 * MB
        return 48.0 * cells + item.spec["settings"]["batch_size"] * w.d_sae(item) * 16.0

    def _alone(self, item: PlannedItem) -> float:
        """What one item of a stage that works through them in turn holds, beside its inputs."""
        saes = w.saes_behind(self._plan, item)
        if not saes:
            return 200 * MB
        widths, workers = [w.d_sae(sae) for sae in saes], self._plan.sweep.run.workers
        cells = self._shape(item).d_model * sum(widths)
        entries = w.analysis_rows(self._plan, item) * max(map(w.active, saes))
        if item.stage == "import":
            return 24.0 * cells
        if item.stage == "encode":
            return workers * (16.0 * cells + 200 * MB) + 24.0 * min(entries, 2e7)
        if item.stage == "match":
            limit = item.spec["settings"]["assignment_limit"]
            assigned = min(widths) ** 2 if max(widths) <= limit else 0
            return 32.0 * cells + 600 * MB + 24.0 * assigned + 2000.0 * sum(widths)
        if item.stage == "tree":
            return 16.0 * cells + 200 * MB + 2000.0 * sum(widths)
        settings: dict[str, Any] = item.spec["settings"]
        if item.stage == "probe":  # samples of a dozen concepts, in float64
            sample = settings["tokens"] * self._shape(item).d_model
            return 16.0 * cells + 12 * 8.0 * sample + 400 * MB
        if item.stage == "meta":  # rows in float64 for the null, and a small training
            return 64.0 * cells + 200 * MB
        if item.stage == "landscape":
            return 64.0 * cells + 200.0 * min(settings["latents"], max(widths)) ** 2 + 200 * MB
        linked = min(settings["linkage_limit"], max(widths)) ** 2
        profiles = max(widths) * 2 * min(settings["profile_latents"], max(widths))
        return 32.0 * cells + 24.0 * linked + 24.0 * profiles + 12.0 * entries


def _rounded(size: float) -> int:
    """Bytes as MB, up to a whole multiple of `STEP`."""
    return STEP * math.ceil(size / MB / STEP)
