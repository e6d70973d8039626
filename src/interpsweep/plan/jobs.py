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

# what the items of one job have in common; everything else of the sweep is one job
_TOGETHER: dict[str, tuple[str, ...]] = {
    "model": ("model",),
    "corpus": ("model",),
    "capture": ("model",),
    **dict.fromkeys(
        (
            "train",
            "import",
            "evaluate",
            "encode",
            "match",
            "tree",
            "geometry",
            "landscape",
            "meta",
            "probe",
            "concepts",
        ),
        ("model", "site"),
    ),
}


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
class Face:
    """A readable file under results/<sweep>/: plain names for some items of one stage."""

    path: str
    stage: str
    place: str
    items: tuple[tuple[str, str], ...]  # (readable name, digest)

    def spec(self) -> dict[str, Any]:
        """What the file shows."""
        return {"face": STAGES[self.stage].face, "items": [list(item) for item in self.items]}

    @cached_property
    def digest(self) -> str:
        """Identity of what the file shows."""
        return digest(self.spec())


def group_jobs(items: Items, pack: int) -> list[Job]:
    """Group all items into jobs; `pack` > 0 splits the SAEs of a site into jobs of that many."""
    jobs = []
    for stage, place, group in _by_place(items):
        size = pack if stage == "train" and pack > 0 else len(group)
        for start in range(0, len(group), size):
            members = tuple(sorted(item.digest for item in group[start : start + size]))
            name = slug("-".join(place) or "sweep")
            jobs.append(Job(stage, name, members, digest({"stage": stage, "items": members})))
    return jobs


def faces(items: Items, sweep: str) -> list[Face]:
    """The readable files of a sweep, one for each stage and place."""
    made: dict[str, Face] = {}
    for stage, place, group in _by_place(items, to_show=True):
        path = "/".join(["results", sweep, *place, f"{STAGES[stage].face}.json"])
        shown = tuple((readable_name(item), item.digest) for item in group)
        if path in made:  # SAEs trained here and imported ones are shown together
            shown = made[path].items + shown
        made[path] = Face(path, stage, "/".join(place), shown)
    return list(made.values())


def _by_place(
    items: Items, to_show: bool = False
) -> Iterator[tuple[str, tuple[str, ...], list[PlannedItem]]]:
    """Items by stage and the place they belong to, in the order of the stages.

    To make them, each belongs to one place. To show them, to every model that shares it, and
    activations to their site.
    """
    for stage in STAGES:
        groups: dict[tuple[str, ...], list[PlannedItem]] = {}
        keys = _TOGETHER.get(stage, ())
        if to_show and stage == "capture":
            keys = ("model", "site")
        for item in items.everywhere(stage) if to_show else items.of(stage):
            place = tuple(item.at[key] for key in keys if item.at.get(key) is not None)
            groups.setdefault(place, []).append(item)
        for place, group in groups.items():
            yield stage, place, group


def readable_name(item: PlannedItem) -> str:
    """A name for people, unique among the items of one stage and place; safe as a file name."""
    at: dict[str, Any] = item.at
    if item.stage == "match":
        a, b = at["a"], at["b"]
        if at["direction"] == "levels":
            return f"levels-{'-'.join(map(str, at['leading']))}-{_sae_name(a)}"
        along = {"seed": "seed", "layer": "site"}.get(at["direction"], "d_sae")
        return f"{at['direction']}-{a[along]}-{b[along]}-{_sae_name(a, skip=along)}"
    if item.stage == "figures":
        where = [at[key] for key in ("model", "site") if key in at]
        family = [_sae_name(at)] if "architecture" in at else []
        return "-".join([at["figure"], *where, *family])
    if item.stage == "tree" and at.get("direction") == "levels":
        return f"levels-{_sae_name(at)}"
    if item.stage == "tree" and "direction" in at:
        return f"{at['direction']}-{at['seed']}-{at['against']}-{_sae_name(at, skip='seed')}"
    if "architecture" in at:
        return _sae_name(at)
    return STAGES[item.stage].face


def _sae_name(at: dict[str, Any], skip: str = "") -> str:
    parts = (
        ("architecture", "{}"),
        ("d_sae", "width{}"),
        ("sparsity", "sparsity{:.12g}"),
        ("seed", "seed{}"),
    )
    name = "-".join(text.format(at[key]) for key, text in parts if key != skip and key in at)
    return name.replace("+", "")  # of 1e+06
