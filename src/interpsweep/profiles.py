"""What a Snakemake profile says that matters before Snakemake starts."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from interpsweep.errors import UserError, nearest
from interpsweep.stages import STAGES

FILES = ("profile.v9+.yaml", "config.v9+.yaml", "profile.yaml", "config.yaml")


@dataclass(frozen=True)
class Profile:
    """Where jobs run, how many at a time, and which stages get a GPU."""

    path: Path
    executor: str = "local"
    jobs: int | None = None
    gpu_stages: frozenset[str] = frozenset()

    @property
    def cluster(self) -> bool:
        """Whether jobs leave this machine."""
        return self.executor != "local"


def read_profile(folder: str) -> Profile:
    """Read a profile folder. Raises UserError if there is none, or it is no YAML mapping."""
    path = next((p for name in FILES if (p := Path(folder, name)).is_file()), None)
    if path is None:
        known = [str(p) for p in sorted(Path("profiles").glob("*")) if p.is_dir()]
        raise UserError(f"{folder}: no profile here{nearest(folder, known)}")
    try:
        said = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise UserError(f"{path}: {error}") from None
    if not isinstance(said, dict):
        raise UserError(f"{path}: a profile is a mapping of Snakemake's options")
    for where in ("set-resources", "default-resources"):
        _check_words(path, where, said.get(where))
    jobs = said.get("jobs")
    return Profile(
        path,
        executor=said.get("executor", "local"),
        jobs=jobs if isinstance(jobs, int) else None,
        gpu_stages=gpu_stages(_resources(said.get("set-resources"))),
    )


def _resources(said: Any) -> dict[str, dict[str, Any]]:
    """A profile's `set-resources`, in any form that Snakemake takes: rule -> resource -> value.

    The resources of a rule are a mapping, or a text `gpu=1`, or several; instead of a mapping of
    rules there may be a list of `train:gpu=1`.
    """
    entries = said.items() if isinstance(said, Mapping) else _split(said, ":")
    found: dict[str, dict[str, Any]] = {}
    for rule, given in entries:
        found.setdefault(str(rule), {}).update(_pairs(given))
    return found


def _split(said: Any, mark: str) -> Iterator[tuple[str, Any]]:
    """The two sides of each of some texts, one text alone or a list of them."""
    for text in said if isinstance(said, list) else str(said or "").split():
        left, _, right = str(text).partition(mark)
        yield left, right


def _check_words(path: Path, where: str, said: Any) -> None:
    """Raise UserError for a value that Snakemake would take for a function of Python's."""
    named = _resources(said) if where == "set-resources" else {"": dict(_pairs(said))}
    for rule, given in named.items():
        for resource, value in given.items():
            check_word(f"{path}: {'.'.join(filter(None, (where, rule, resource)))}", value)


def check_word(where: str, value: Any) -> None:
    """Raise UserError if Snakemake would take a resource for a function of Python's."""
    if isinstance(value, str) and callable(getattr(builtins, value, None)):
        raise UserError(
            f"{where}: {value} is a word of Python's, which Snakemake evaluates; "
            f"""write "'{value}'", with both kinds of quotes"""
        )


def _pairs(said: Any) -> Iterator[tuple[str, Any]]:
    yield from said.items() if isinstance(said, Mapping) else _split(said, "=")


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU; asks no driver."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def gpu_stages(
    resources: Mapping[str, Mapping[str, Any]], named: Callable[[str], str] = str
) -> frozenset[str]:
    """The stages whose rules are given a GPU by a profile's `set-resources`.

    `named` says what the rule of a stage is called, where that is not its own name.
    """
    rules = {rule for rule, given in resources.items() if {"gpu", "gres"} & set(given)}
    return frozenset(stage for stage in STAGES if named(stage) in rules)
