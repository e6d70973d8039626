"""What the jobs of a sweep are doing right now."""

from __future__ import annotations

from typing import Any

from interpsweep.plan import Plan
from interpsweep.store import Store
from interpsweep.store import lease as leases


def running_jobs(plan: Plan, store: Store) -> dict[str, list[str]]:
    """Live jobs by stage, each with what it does and how far it is."""
    found: dict[str, list[str]] = {}
    for job in plan.jobs:
        # a progress file names its process like a lease does
        state = leases.read(store.progress_path(job.digest))
        if state is None or not leases.alive(*state):
            continue
        progress: dict[str, Any] = state[0]
        total = float(progress.get("total") or 0)
        share = f" {100 * float(progress.get('done', 0)) / total:.0f}%" if total else ""
        found.setdefault(job.stage, []).append(f"{job.name}: {progress.get('what', '')}{share}")
    return found
