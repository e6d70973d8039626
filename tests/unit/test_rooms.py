"""Rooms of the house: a module imports from rooms below its own, and never in a circle.

Imports inside functions and for type checkers count too. What breaks the rule today is listed; the
list can only get shorter, since an entry that is mended fails as well until it is taken out.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

SOURCE = Path(__file__).parents[2] / "src" / "interpsweep"

# from the top; those of one line do not know each other
FLOORS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli", "workflow"),
    ("commands",),
    ("options",),
    ("slurm", "driver", "profiles"),
    ("jobs", "plan"),
    ("lock",),
    ("report",),
    ("figures",),
    ("interventions",),
    ("claims", "geometry", "matching"),
    ("saes",),
    ("activations",),
    ("corpora", "models"),
    ("worlds",),
    ("context",),
    ("numerics", "sources"),
    ("arrays", "blockmap", "compiled", "results", "tables", "vectors"),
    ("columns", "store"),
    ("stages",),
    ("config",),
    ("spec",),
    ("errors",),
)
FLOOR = {room: height for height, rooms in enumerate(reversed(FLOORS)) for room in rooms}

BREACHES = {"corpora.world -> saes.codes"}


@cache
def imports() -> dict[str, set[str]]:
    """Every module of ours -> the modules of ours that it imports; names without the package."""
    trees = {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(
            ".__init__"
        ): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }
    del trees["__init__"]
    found: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("interpsweep"):
                assert node.module is not None
                package = node.module.removeprefix("interpsweep").lstrip(".")
                for alias in node.names:
                    inner = f"{package}.{alias.name}".lstrip(".")
                    found[name].add(inner if inner in trees else package)
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                found[name] |= {n[12:] for n in names if n.startswith("interpsweep.")}
    return {name: (read & trees.keys()) - {name} for name, read in found.items()}


def room(module: str) -> str:
    """The room that a module is in."""
    return module.split(".")[0]


def breaches() -> set[str]:
    """Every import that does not lead downward, as ``module -> module``."""
    return {
        f"{module} -> {read}"
        for module, reads in imports().items()
        for read in reads
        if room(module) != room(read) and FLOOR[room(module)] <= FLOOR[room(read)]
    }


def test_every_module_is_in_a_room() -> None:
    assert {room(module) for module in imports()} == FLOOR.keys()


def test_imports_lead_downward() -> None:
    assert sorted(breaches() - BREACHES) == []


def test_a_breach_that_is_mended_is_taken_off_the_list() -> None:
    assert sorted(BREACHES - breaches()) == []


def test_claims_read_tables_and_nothing_else() -> None:
    read = {room(read) for module, reads in imports().items() for read in reads
            if room(module) == "claims"}  # fmt: skip
    assert read == {"claims", "columns", "config", "context", "sources", "spec", "tables"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = nx.DiGraph([(module, read) for module, reads in imports().items() for read in reads])
    circles = [sorted(found) for found in nx.strongly_connected_components(graph) if len(found) > 1]
    assert circles == []


@pytest.mark.parametrize("room", ["config", "stages", "spec", "errors"])
def test_the_lowest_rooms_know_none_above(room: str) -> None:
    assert not any(breach.startswith((f"{room} ", f"{room}.")) for breach in BREACHES)
