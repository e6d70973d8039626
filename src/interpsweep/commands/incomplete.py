"""What a sweep lacks after a run, and why."""

from __future__ import annotations

from collections import Counter

from interpsweep.plan import Plan
from interpsweep.plan.items import PlannedItem
from interpsweep.plan.jobs import readable_name
from interpsweep.stages import STAGES
from interpsweep.store import Store, failures

AGAIN = "the same command tries them again"


def incomplete(plan: Plan, store: Store) -> list[str]:
    """Lines that name what could not be made, each with its reason; none if nothing failed.

    What no job has tried is not in it.
    """
    own: list[str] = []
    wanting: Counter[str] = Counter()
    without: Counter[str] = Counter()
    for stage, items in plan.missing(store).items():
        for item in items:
            failure = failures.read(store, item.digest)
            if failure is None:
                continue
            if failures.present(store, item.digest):
                without[stage] += 1
            elif failure.root == item.digest:
                own.append(f"{described(item)}: {failure.reason}")
            else:
                wanting[stage] += 1
    if not own and not wanting and not without:
        return []
    lines = [f"incomplete: {_many(len(own))} could not be made; {AGAIN}", *_indented(own)]
    if wanting:
        lines.append(f"  not made for want of what failed: {_counted(wanting)}")
    if without:
        lines.append(f"  made without it, and saying so: {_counted(without)}")
    return lines


def described(item: PlannedItem) -> str:
    """An item for people: stage, place, name."""
    where = [str(item.at[key]) for key in ("model", "site") if key in item.at]
    return " ".join([item.stage, *where, readable_name(item)])


def _many(count: int) -> str:
    return f"{count} item" + ("" if count == 1 else "s")


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _counted(count: Counter[str]) -> str:
    return ", ".join(f"{count[s]} {STAGES[s].noun}" for s in STAGES if count[s])
