"""Items that could not be made, and why: one small file for each, ``.failures/<digest>.json``.

One bad item must not cost a sweep. A job that cannot make an item writes that down, makes the
others and ends well. A stage that needs the item leaves its own out, for the same reason; one that
gathers what a sweep has (``gathers`` in its record) goes without it: what it makes then is another
item, whose spec names fewer inputs and says what is missing. It stands in for the planned one until
that can be made. Whether an item exists never depends on these files.
"""

from __future__ import annotations

import json
from collections.abc import Set
from dataclasses import asdict, dataclass
from typing import Any

from interpsweep.spec import Spec, input_digests
from interpsweep.stages import STAGES
from interpsweep.store.layout import Store, write_atomic


@dataclass(frozen=True)
class Failure:
    """Why an item is not there, and what is there instead."""

    item: str
    reason: str = ""
    root: str = ""  # the item that failed by itself, if this one only needs it
    instead: str = ""  # the item that stands in

    @property
    def own(self) -> bool:
        """Whether the item failed by itself."""
        return self.root == self.item


def write(store: Store, failure: Failure) -> None:
    """Write down that an item could not be made."""
    text = json.dumps(asdict(failure), sort_keys=True, ensure_ascii=False)
    write_atomic(store.failure_path(failure.item), text + "\n")


def read(store: Store, item: str) -> Failure | None:
    """What is known of an item that the last job could not make; None if nothing is."""
    try:
        failure = Failure(**json.loads(store.failure_path(item).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return failure if failure.item == item else None


def present(store: Store, item: str) -> str:
    """The digest of what there is of a planned item: its own, of what stands in, or ""."""
    if store.exists(item):
        return item
    failure = read(store, item)
    instead = "" if failure is None else failure.instead
    return instead if instead and store.exists(instead) else ""


def resolve(store: Store, item: str) -> str | Failure:
    """What to make of a planned item: itself, what stands in for it, or nothing, and why not.

    An input that is neither there nor known to have failed is left for the job to complain about.
    """
    spec = store.read_spec(item)
    lost: dict[str, Failure] = {}
    instead: dict[str, str] = {}
    for wanted in input_digests(spec):
        found, failure = present(store, wanted), read(store, wanted)
        if found and found != wanted:
            instead[wanted] = found
        elif not found and failure is not None and failure.reason:
            lost[wanted] = failure
    if not lost and not instead:
        return item
    left: Spec | None = spec
    if lost:
        gathers = STAGES[spec["stage"]].gathers
        going_without = gathers if callable(gathers) else _without
        left = going_without(spec, lost.keys()) if gathers else None
    if left is None:
        cause = next(iter(lost.values()))
        return Failure(item, cause.reason, cause.root)
    return store.write_spec(_saying(store, _standing_in(left, instead), spec, lost))


def _without(spec: Spec, lost: Set[str]) -> Spec | None:
    """A spec whose lists go without what is lost; None if it needs one of that, or has no more."""
    inputs: dict[str, Any] = {}
    for role, wanted in spec["inputs"].items():
        if not isinstance(wanted, list):
            if wanted in lost:
                return None
            inputs[role] = wanted
        else:
            inputs[role] = [one for one in wanted if one not in lost]
    reduced = {**spec, "inputs": inputs}
    return reduced if any(input_digests(reduced)) else None


def _standing_in(spec: Spec, instead: dict[str, str]) -> Spec:
    """A spec that reads what stands in for its inputs."""
    inputs = {
        role: [instead.get(one, one) for one in wanted]
        if isinstance(wanted, list)
        else instead.get(wanted, wanted)
        for role, wanted in spec["inputs"].items()
    }
    return {**spec, "inputs": inputs}


def _saying(store: Store, reduced: Spec, spec: Spec, lost: dict[str, Failure]) -> Spec:
    """The reduced spec with the places of its inputs, if it has them, and what is missing."""
    places, settings = spec["settings"].get("index", {}), dict(reduced["settings"])
    if places:
        kept = [wanted for wanted in input_digests(spec) if wanted not in lost]
        renamed = zip(kept, input_digests(reduced), strict=True)
        settings["index"] = {new: places[old] for old, new in renamed if old in places}
    if lost:
        settings["missing"] = [
            {
                "item": item,
                "stage": store.read_spec(item)["stage"],
                "at": places.get(item, {}),
                "reason": failure.reason,
            }
            for item, failure in lost.items()
        ]
    return {**reduced, "settings": settings}
