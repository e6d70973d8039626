"""Jobs: which items one process makes, and which readable files show them.

A job is a bank: items that share a stream of activations, a model or a table. How items are
grouped never enters an item's identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interpsweep.plan.items import Items, PlannedItem
from interpsweep.spec import digest, slug
from interpsweep.stages import STAGES
from interpsweep.stages.record import sae_label


@dataclass(frozen=True)
class Job:
    """Items of one stage that one process works through."""

    stage: str
    name: str
    items: tuple[str, ...]
    digest: str

    @property
    def index(self) -> str:
        """The file that Snakemake sees of the finished job, relative to the working folder."""
        return f"store/.jobs/{self.stage}/{self.name}-{self.digest}.json"


@dataclass(frozen=True)
class Listing:
    """A readable file under results/<sweep>/: plain names for some items of one stage."""

    path: str
    stage: str
    place: str
    items: tuple[tuple[str, str], ...]  # (readable name, digest)

    def spec(self) -> dict[str, Any]:
        """What the file shows."""
        target = STAGES[self.stage].target
        return {"listing": target, "items": [list(item) for item in self.items]}

    @cached_property
    def digest(self) -> str:
        """Identity of what the file shows."""
        return digest(self.spec())


def group_jobs(items: Items, pack: int) -> list[Job]:
    """Group all items into jobs; `pack` > 0 splits the SAEs of a site into jobs of that many."""
    jobs = []
    for stage, place, group in _by_place(items):
        size = pack if STAGES[stage].packed and pack > 0 else len(group)
        for start in range(0, len(group), size):
            members = tuple(sorted(item.digest for item in group[start : start + size]))
            name = slug("-".join(place) or "sweep")
            jobs.append(Job(stage, name, members, digest({"stage": stage, "items": members})))
    return jobs


def listings(items: Items, sweep: str) -> list[Listing]:
    """The readable files of a sweep, one for each stage and place."""
    made: dict[str, Listing] = {}
    for stage, place, group in _by_place(items, to_show=True):
        path = "/".join(["results", sweep, *place, f"{STAGES[stage].target}.json"])
        shown = tuple((readable_name(item), item.digest) for item in group)
        if path in made:  # SAEs trained here and imported ones are shown together
            shown = made[path].items + shown
        made[path] = Listing(path, stage, "/".join(place), shown)
    return list(made.values())


def _by_place(
    items: Items, to_show: bool = False
) -> Iterator[tuple[str, tuple[str, ...], list[PlannedItem]]]:
    """Items by stage and the place they belong to, in the order of the stages.

    To make them, each belongs to one place. To show them, to every model that shares it, and
    activations to their site.
    """
    for stage, record in STAGES.items():
        groups: dict[tuple[str, ...], list[PlannedItem]] = {}
        keys = record.together
        if to_show and record.shown_by is not None:
            keys = record.shown_by
        for item in items.everywhere(stage) if to_show else items.of(stage):
            place = tuple(item.at[key] for key in keys if item.at.get(key) is not None)
            groups.setdefault(place, []).append(item)
        for place, group in groups.items():
            yield stage, place, group


def readable_name(item: PlannedItem) -> str:
    """A name for people, unique among the items of one stage and place; safe as a file name."""
    stage = STAGES[item.stage]
    if stage.label is not None:
        return stage.label(item.at)
    return sae_label(item.at) if "architecture" in item.at else stage.target
