"""SIGKILL of the driver, Snakemake with our Snakefile in it, at each kind of file that it writes.

What it wrote before (specs, index files, readable results, Snakemake's records) and one item are
missing at the start, so that there is something of each kind to write. Jobs are processes of
their own and outlive it. INTERPSWEEP_POINTS sets at how many calls for each kind of file (3; 0
means 30).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CONFIG, Undisturbed, copy, until_idle
from injection import Fault, in_child
from test_io_faults import places

from places import Place

POINTS = int(os.environ.get("INTERPSWEEP_POINTS", "3")) or 30
# what the driver is at work on -> where it writes then
WRITES = {
    "its lock": "store/.locks/",
    "specs": "store/.specs/",
    "index files": "store/.jobs/",
    "the register of wanted items": "store/.roots/",
    "readable results": "results/",
    "Snakemake's records of jobs": ".snakemake/",
    "logs of jobs": "logs/",
}
FEW = ("its lock", "index files")  # of these, in continuous integration


def snakemake() -> None:
    """The driver: what `snakemake all` does, in this process."""
    from snakemake.cli import main

    command = ["all", "--workflow-profile", "profiles/default", "--cores", "1"]
    try:
        main([*command, "--configfile", *CONFIG])
    except SystemExit as ended:
        if ended.code:
            raise


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    import snakemake.cli
    import snakemake.executors.local
    import snakemake.workflow  # noqa: F401 - children are forks and need not import it again


@pytest.fixture
def place(undisturbed: Undisturbed, tmp_path: Path) -> Iterator[Place]:
    """A finished sweep without what drivers write, and without its tree."""
    made = copy(undisturbed, tmp_path / "place")
    take_away(made)
    yield made


def take_away(place: Place) -> None:
    """Remove what drivers write, and the tree, which is cheap to make and which figures read."""
    store = place.root / "store"
    for name in (".specs", ".jobs", ".roots", ".locks", "trees"):
        shutil.rmtree(store / name, ignore_errors=True)
    for name in ("results", "logs", ".snakemake"):
        shutil.rmtree(place.root / name, ignore_errors=True)


def readable(place: Place) -> dict[str, bytes]:
    """What results/ shows, but for Snakemake's own report, which `interpsweep run` asks for."""
    files = (path for path in (place.root / "results").rglob("*") if path.is_file())
    named = {str(path.relative_to(place.root)): path for path in files}
    return {name: p.read_bytes() for name, p in named.items() if "snakemake-report" not in name}


def indices(place: Place) -> dict[str, bytes]:
    """The index files of jobs."""
    folder = place.root / "store/.jobs"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.json")}


@pytest.mark.parametrize(
    "kind", [kind if kind in FEW else pytest.param(kind, marks=pytest.mark.slow) for kind in WRITES]
)
def test_a_driver_that_is_killed_while_it_writes(
    undisturbed: Undisturbed, place: Place, kind: str
) -> None:
    where = WRITES[kind]
    counted = in_child(place.root, snakemake, Fault("count", place=where))
    assert counted.status == 0, counted.text
    tried, calls = places(counted.calls, POINTS), len(counted.calls)
    for nth in tried:
        take_away(place)
        killed = in_child(place.root, snakemake, Fault("kill", nth, where))
        at = f"killed at call {nth} of {calls}: {killed.last}"
        assert killed.status == -9, f"{at}\n{killed.text}"
        again = in_child(place.root, snakemake)
        assert again.status == 0, f"{at}\n{again.text}"
        until_idle(place.root)
        assert place.items() == undisturbed.place.items(), at
        assert readable(place) == readable(undisturbed.place), at
        assert indices(place) == indices(undisturbed.place), at
        left = [
            *(place.root / "store/.work").glob("*/*"),
            *(place.root / "store/.leases").glob("*"),
        ]
        assert left == [], at
    print(f"{kind}: {calls} calls, the driver was killed at {len(tried)} of them")
