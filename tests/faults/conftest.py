"""One undisturbed run of the sweep, which everything else is compared with."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from injection import Fault, Outcome, in_child, job_file

from interpsweep.jobs import run_job
from interpsweep.stages import STAGES
from interpsweep.store import Store
from interpsweep.store.check import check_item, item_folders
from interpsweep.store.layout import MANIFEST, RUN_RECORD
from places import Place

QUICK = ("config/config.yaml", "config/overlays/quick.yaml")
CONFIG = QUICK if os.environ.get("INTERPSWEEP_SWEEP", "quick") == "quick" else QUICK[:1]


@dataclass
class Undisturbed:
    """A finished sweep: its folder, how long it took, and the bytes of its items."""

    place: Place
    seconds: float
    contents: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def of(self, folder: str) -> dict[str, bytes]:
        """The files of an item, by its folder below the store."""
        if folder not in self.contents:
            self.contents[folder] = contents(self.place.root / "store" / folder)
        return self.contents[folder]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    began = time.monotonic()
    place.run("run", *CONFIG)
    return Undisturbed(place, time.monotonic() - began)


def copy(undisturbed: Undisturbed, root: Path) -> Place:
    """A copy of the whole folder; links stay links."""
    shutil.copytree(undisturbed.place.root, root, symlinks=True, dirs_exist_ok=True)
    place = Place.__new__(Place)
    place.root = root
    return place


def at_work(root: Path) -> list[int]:
    """Processes whose working folder is `root`: workers outlive a driver that is killed."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended while we looked
            if os.readlink(process / "cwd") == str(root):
                found.append(int(process.name))
    return found


def until_idle(root: Path, seconds: float = 600) -> None:
    """Wait until no process works in `root`."""
    deadline = time.monotonic() + seconds
    while left := at_work(root):
        assert time.monotonic() < deadline, f"still at work in {root}: {left}"
        time.sleep(0.1)


@dataclass
class Bench:
    """A copy of the store from which one cheap item of a stage was taken."""

    root: Path
    stage: str
    item: str  # its digest
    folder: str  # below the store
    wanted: dict[str, bytes]

    @property
    def store(self) -> Store:
        return Store(self.root / "store")

    def make(self, fault: Fault | None = None, largest: int | None = None) -> Outcome:
        """Have a child process make the item."""
        job = job_file(self.root, self.stage, [self.item])
        return in_child(self.root, lambda: run_job(Store(), job), fault, largest)

    def take_away(self) -> None:
        """Remove the item."""
        shutil.rmtree(self.store.root / self.folder)

    def made(self) -> dict[str, bytes] | None:
        """The item's files, if it is there."""
        folder = self.store.root / self.folder
        return contents(folder) if (folder / MANIFEST).exists() else None

    def torn(self) -> list[str]:
        """What a reader could see of the stage's kind and is not whole."""
        kind = Path(self.folder).parts[0]
        seen = [path for path in item_folders(self.store) if path.parent.name == kind]
        return [line for path in seen for line in check_item(path, full=True)]

    def litter(self) -> list[Path]:
        """Files of attempts, leases and drafts that are left."""
        places = [*self.store.root.glob(".work"), *self.store.root.glob(".leases")]
        left = [path for place in places for path in place.rglob("*")]
        left += self.store.root.rglob(".*.partial")
        return [path for path in left if path.is_file()]


@pytest.fixture
def bench(undisturbed: Undisturbed, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """Parametrised with the name of a stage."""
    stage = request.param
    shutil.copytree(undisturbed.place.root / "store", tmp_path / "store")
    cheapest = min(_items(tmp_path / "store", stage))
    _, item, folder = cheapest
    found = Bench(tmp_path, stage, item, folder, undisturbed.of(folder))
    found.take_away()
    return found


def _items(store: Path, stage: str) -> Iterator[tuple[float, str, str]]:
    """(seconds, digest, folder) of the items of a stage."""
    for path in sorted((store / STAGES[stage].kind).glob(f"*/{MANIFEST}")):
        manifest = json.loads(path.read_text())
        if manifest["stage"] == stage:
            seconds = json.loads((path.parent / RUN_RECORD).read_text())["seconds"]
            yield seconds, manifest["digest"], str(path.parent.relative_to(store))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of an item but the record of its run."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.name != RUN_RECORD
    }
