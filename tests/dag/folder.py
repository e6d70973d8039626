"""A folder with one sweep in it, which can be pretended to be finished."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edits import CONFIG, SWEEPS, Row

from interpsweep import driver
from interpsweep.plan import Plan
from interpsweep.stages import STAGES
from interpsweep.store import Store
from interpsweep.store.layout import MANIFEST
from interpsweep.store.manifest import file_table
from interpsweep.store.seal import sealed

Work = set[tuple[str, str]]  # (stage, digest)


class Folder:
    """A working folder with one config file."""

    def __init__(self, root: Path) -> None:
        self.config = root / CONFIG

    def write(self, data: dict[str, Any]) -> None:
        """Write the config file; JSON is YAML too."""
        self.config.write_text(json.dumps(data, indent=1))

    def plan(self) -> Plan:
        """Plan the sweep that the config file means."""
        return driver.plan_sweep([self.config])

    def finish(self) -> Plan:
        """Pretend that everything the sweep means is built, figures and readable files included."""
        plan, store = self.plan(), Store()
        driver.write_specs(plan, store)
        for item in plan.items.by_digest.values():
            folder = store.path(item.spec, item.digest)
            folder.mkdir(parents=True, exist_ok=True)
            files = {}
            if item.stage == "figures":
                for name in ("figure.svg", "figure.png"):
                    (folder / name).write_text(item.digest)
                files = file_table(folder)
            manifest = {"digest": item.digest, "spec": item.spec, "files": files, "metrics": {}}
            (folder / MANIFEST).write_text(sealed(manifest))
        driver.prepare(plan, store)
        return plan


def carry_out(row: Row, folder: Folder) -> tuple[Plan, Work, Work]:
    """Finish a row's sweep in the current folder and edit it: the plan, what is to be made, and
    what the row says is to be made."""
    data = SWEEPS[row.sweep]()
    row.before(data, None)
    folder.write(data)
    plan = folder.finish()
    with _stages_restored():
        row.edit(data, plan)
        folder.write(data)
        now = folder.plan()
        missing = now.missing(Store())
    made = {(stage, item.digest) for stage, items in missing.items() for item in items}
    expected = {
        (stage, item.digest)
        for stage, where in row.redone.items()
        for item in now.items.of(stage)
        if where(item.at)
    }
    return now, made, expected


@contextmanager
def _stages_restored() -> Iterator[None]:
    kept = dict(STAGES)
    try:
        yield
    finally:
        STAGES.update(kept)
