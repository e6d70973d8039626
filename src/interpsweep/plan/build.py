"""The whole plan of a sweep: items, jobs, readable files, and how they depend on each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interpsweep.config.sweep import Sweep
from interpsweep.lock import Lock, externals
from interpsweep.plan.items import Items, PlannedItem
from interpsweep.plan.jobs import Job, Listing, group_jobs, listings, readable_name
from interpsweep.plan.pipeline import plan_items
from interpsweep.spec import DIGEST_IN_NAME, digest, input_digests
from interpsweep.stages import STAGES
from interpsweep.store import Store
from interpsweep.store.layout import MANIFEST


@dataclass(frozen=True)
class Plan:
    """What a sweep means. Pure data: building one reads no store and writes nothing."""

    sweep: Sweep
    lock: Lock
    items: Items
    jobs: tuple[Job, ...]
    listings: tuple[Listing, ...]

    @cached_property
    def digest(self) -> str:
        """Identity of the plan: the set of its items."""
        return digest(sorted(self.items.by_digest))

    @cached_property
    def job_of(self) -> dict[str, Job]:
        """Item digest -> the job that makes it."""
        return {item: job for job in self.jobs for item in job.items}

    @cached_property
    def job(self) -> dict[str, Job]:
        """Job digest -> job."""
        return {job.digest: job for job in self.jobs}

    @cached_property
    def listing(self) -> dict[str, Listing]:
        """Path -> readable file."""
        return {listing.path: listing for listing in self.listings}

    @cached_property
    def pictures(self) -> dict[str, str]:
        """Path of a figure under results/ -> the item that holds it."""
        folder = f"results/{self.sweep.sweep}/figures"
        found = self.items.of("figures")
        return {f"{folder}/{readable_name(item)}.svg": item.digest for item in found}

    @cached_property
    def readers(self) -> dict[str, list[str]]:
        """Activations -> the index files of every job that reads them."""
        found: dict[str, dict[str, None]] = {}
        for item in self.items.by_digest.values():
            for acts in self.activations(item):
                found.setdefault(acts, {})[self.job_of[item.digest].index] = None
        return {acts: list(paths) for acts, paths in found.items()}

    @cached_property
    def reclaimable(self) -> dict[str, str]:
        """Path of the record that says activations were reclaimed -> the activations."""
        if self.sweep.keep.activations == "always":
            return {}
        return {
            f"store/.jobs/reclaim/{acts}-{digest(sorted(paths))[:DIGEST_IN_NAME]}.json": acts
            for acts, paths in self.readers.items()
        }

    def activations(self, item: PlannedItem) -> list[str]:
        """The activations that an item reads: those of its site, of one it predicts, of a later."""
        inputs = input_digests(item.spec)
        return [digest for digest in inputs if self.items.by_digest[digest].stage == "capture"]

    def members(self, job: Job) -> list[PlannedItem]:
        """The items of a job."""
        return [self.items.by_digest[item] for item in job.items]

    def needs(self, job: Job) -> dict[str, list[str]]:
        """The index files that a job waits for, by stage."""
        found: dict[str, dict[str, None]] = {}
        for item in self.members(job):
            for wanted in input_digests(item.spec):
                upstream = self.job_of[wanted]
                found.setdefault(upstream.stage, {})[upstream.index] = None
        return {stage: list(paths) for stage, paths in found.items()}

    def missing(self, store: Store) -> dict[str, list[PlannedItem]]:
        """Items that the store does not hold, by stage."""
        found: dict[str, list[PlannedItem]] = {}
        for item in self.items.by_digest.values():
            if not there(store, item):
                found.setdefault(item.stage, []).append(item)
        return found

    def run_settings(self, job: Job) -> dict[str, Any]:
        """What a job gets beside its items; nothing in it can change a result."""
        run = self.sweep.run
        return {
            "device": run.device,
            "threads": run.threads,
            "engine": run.engine,
            "workers": run.workers,
            "checkpoint_seconds": run.checkpoint_seconds,
            "externals": self.outside(job),
        }

    def outside(self, job: Job) -> dict[str, str]:
        """Content digest -> reference, of the outside inputs that the items of a job name."""
        known = externals(self.lock)
        if not known or not STAGES[job.stage].opens_outside:
            return {}
        named = {text for item in self.members(job) for text in _strings(item.spec["settings"])}
        return {content: known[content] for content in sorted(named & known.keys())}


def build_plan(sweep: Sweep, lock: Lock) -> Plan:
    """Plan a sweep. Raises UserError if `lock` lacks an outside input that the sweep uses."""
    items = plan_items(sweep, lock)
    jobs = tuple(group_jobs(items, sweep.run.pack))
    return Plan(sweep, lock, items, jobs, tuple(listings(items, sweep.sweep)))


def there(store: Store, item: PlannedItem) -> bool:
    """Whether the store holds an item; its spec need not be written yet."""
    return os.path.exists(f"{store.root}/{item.place}/{MANIFEST}")  # thousands of times


def _strings(value: Any) -> Iterator[str]:
    """Every string in nested settings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
