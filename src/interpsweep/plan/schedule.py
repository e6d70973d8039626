"""How long jobs take that wait for each other, some at a time."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass


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
