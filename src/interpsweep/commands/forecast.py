"""What a plan will cost where it is going to run: hours, nodes, memory, quota."""

from __future__ import annotations

import getpass
import heapq
import os
import shutil
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from interpsweep.plan import Plan
from interpsweep.plan.jobs import Job
from interpsweep.plan.resources import Request, Requests
from interpsweep.profiles import Profile, has_gpu
from interpsweep.spec import input_digests
from interpsweep.stages import STAGES
from interpsweep.store import Store


def show_costs(
    plan: Plan, store: Store, to_run: list[Job], profile: Profile, console: Console
) -> None:
    """Print what the jobs ask for on a cluster, and how long all of them take."""
    on_gpu = profile.gpu_stages if profile.cluster or has_gpu() else frozenset()
    requests = Requests(plan, store, on_gpu)
    asked = {job.digest: requests.of(job) for job in to_run}
    if profile.cluster and to_run:
        console.print(_request_table(to_run, asked, on_gpu))
    seconds = {digest: request.seconds for digest, request in asked.items()}
    gpu_jobs = {job.digest for job in to_run if job.stage in on_gpu}
    on_gpus = sum(seconds[job] for job in gpu_jobs) / 3600
    others = sum(seconds.values()) / 3600 - on_gpus
    slots = (profile.jobs or 1) if profile.cluster else _local_slots(plan)
    expected = forecast(seconds, {job.digest: _needs(plan, job) for job in to_run}, slots, gpu_jobs)
    console.print(f"compute: about {on_gpus:,.1f} GPU hours and {others:,.1f} hours of other jobs")
    console.print(f"time: about {expected.seconds / 3600:,.1f} hours, {slots} jobs at a time")
    if profile.cluster:
        console.print(
            f"nodes: up to {expected.at_once} at once, {expected.gpus_at_once} of them with a GPU; "
            "what jobs wait in the queue comes on top"
        )


@dataclass(frozen=True)
class Forecast:
    """Of a set of jobs: how long they take together, and how many run at once at most."""

    seconds: float
    at_once: int
    gpus_at_once: int


def forecast(
    seconds: Mapping[str, float],
    needs: Mapping[str, Collection[str]],
    slots: int,
    on_gpu: Collection[str] = (),
) -> Forecast:
    """Start each of the jobs in `seconds`, in their order, as soon as its `needs` and a slot allow.

    Needs that are no jobs here count as met. The queue of a cluster comes on top.
    """
    waiting = list(seconds)
    running: list[tuple[float, str]] = []
    done: set[str] = set()
    now, most, gpus = 0.0, 0, 0
    while waiting or running:
        ready = [job for job in waiting if all(n in done or n not in seconds for n in needs[job])]
        for job in ready[: slots - len(running)]:
            heapq.heappush(running, (now + seconds[job], job))
            waiting.remove(job)
        most = max(most, len(running))
        gpus = max(gpus, sum(job in on_gpu for _, job in running))
        now, job = heapq.heappop(running)
        done.add(job)
    return Forecast(now, most, gpus)


def _needs(plan: Plan, job: Job) -> set[str]:
    """The jobs that make a job's inputs."""
    inputs = [digest for item in plan.members(job) for digest in input_digests(item.spec)]
    return {plan.job_of[digest].digest for digest in inputs}


def _request_table(to_run: list[Job], asked: dict[str, Request], on_gpu: frozenset[str]) -> Table:
    table = Table(title="What the jobs ask for, the largest of each stage", title_justify="left")
    for name in ("stage", "jobs", "GPU", "memory", "on the GPU", "time"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in STAGES:
        found = [asked[job.digest] for job in to_run if job.stage == stage]
        if found:
            on_it = max(request.gpu_memory for request in found)
            table.add_row(
                stage,
                f"{len(found):,}",
                "1" if stage in on_gpu else "",
                f"{max(request.memory for request in found) / 1000:,.1f} GB",
                f"{on_it / 1000:,.1f} GB" if on_it and stage in on_gpu else "",
                f"{max(request.minutes for request in found):,} min",
            )
    return table


def _local_slots(plan: Plan) -> int:
    run = plan.sweep.run
    return max(1, (os.cpu_count() or 1) // (run.threads * run.workers))


def quota(folder: Path) -> list[str]:
    """What the quota commands of this machine say, if it has any; nothing if they fail."""
    user = getpass.getuser()
    where = folder.absolute() if folder.exists() else Path.cwd()
    for command in (["lfs", "quota", "-h", "-u", user, str(where)], ["quota", "-s"]):
        if shutil.which(command[0]) is None:
            continue
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.returncode == 0 and answer.stdout.strip():
            return answer.stdout.strip().splitlines()
    return []
