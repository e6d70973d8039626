"""A user's own workflow around ours: the example of docs/own-rules.md, run as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import SNAKEFILE
from edits import put

from interpsweep import driver
from interpsweep.plan import Plan
from interpsweep.store import Store
from interpsweep.store.layout import MANIFEST
from interpsweep.workflow import SweepView, WorkerView

pytestmark = pytest.mark.quick

PAGE = SNAKEFILE.parent / "docs" / "own-rules.md"
RESULT = Path("edge-types.csv")


@pytest.fixture
def place(folder: Any, base: Any) -> Any:
    """The folder of somebody who followed the page, with the small sweep of these tests."""
    (example,) = re.findall(r'```python title="Snakefile"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    Path("Snakefile").write_text(example.replace("interpsweep/Snakefile", str(SNAKEFILE)))
    folder.write(base)
    return folder


def snakemake(*arguments: str, status: int = 0) -> str:
    """Run Snakemake here as the page says."""
    profile = SNAKEFILE.parent / "profiles" / "default"
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", str(profile)]
    result = subprocess.run(
        [*command, "--cores", "1", *arguments], capture_output=True, text=True, check=False
    )
    said = result.stdout + result.stderr
    assert result.returncode == status, said[-3000:]
    return said


def ran(said: str) -> set[str]:
    """The rules of which a run of Snakemake had jobs."""
    return set(re.findall(r"^(\w+) +\d+$", said, re.MULTILINE)) - {"total"}


def finish(folder: Any, kind: str) -> Plan:
    """Pretend that the sweep is built; trees that are new have edges of one type."""
    plan = folder.finish()
    for tree in plan.items.of("tree"):
        path = Store().find(tree.digest) / "edges.parquet"
        if not path.exists():
            pd.DataFrame({"type": [kind]}).to_parquet(path)
    for listed in Path("results").rglob("trees.json"):  # shown again, now with the edges
        listed.unlink()
    return plan


def test_the_example_of_the_page_follows_every_edit(place: Any, base: Any) -> None:
    everything = ran(snakemake("-n"))
    assert {"sweep_tree", "sweep_listing", "sweep_copy", "count_types"} <= everything
    assert "sweep_geometry" not in everything and not RESULT.exists()

    finish(place, "split")
    assert ran(snakemake()) == {"sweep_copy", "count_types", "everything"}
    assert RESULT.read_text() == "type,count\nsplit,1\n"
    assert ran(snakemake()) == set()

    put("report.title", "another")(base)  # touches no tree
    place.write(base)
    finish(place, "none")
    assert ran(snakemake()) == set()

    put("tree.min_firings", 23)(base)
    place.write(base)
    finish(place, "absorption")
    assert ran(snakemake()) == {"sweep_copy", "count_types", "everything"}
    assert RESULT.read_text() == "type,count\nabsorption,1\n"

    put("tree.min_firings", 30)(base)  # taken back: older files stand for the newer ones again
    place.write(base)
    assert ran(snakemake()) == {"sweep_copy", "count_types", "everything"}
    assert RESULT.read_text() == "type,count\nsplit,1\n"
    assert ran(snakemake()) == set()

    put("tree.min_firings", 24)(base)  # not made yet
    place.write(base)
    chain = {"sweep_tree", "sweep_listing", "sweep_copy", "count_types", "everything"}
    assert ran(snakemake("-n")) == chain
    driver.prepare(place.plan())  # as a run does that is killed before it made anything
    assert ran(snakemake("-n")) == chain


def test_a_rule_may_write_files_of_its_own_under_results(place: Any) -> None:
    mine = "results/tiny/one/mine.json"
    text = Path("Snakefile").read_text()
    Path("Snakefile").write_text(
        f'{text}\nrule mine:\n    output: "{mine}"\n    shell: "echo 1 > {{output}}"\n'
    )
    finish(place, "split")
    assert ran(snakemake(mine)) == {"mine"}


def test_what_a_rule_writes_under_results_never_reaches_the_store(place: Any) -> None:
    """Also where an earlier version showed items as links to their folders."""
    plan = finish(place, "split")
    tree = next(tree for tree in plan.items.of("tree") if tree.at["site"].startswith("blocks.0"))
    store = Store().find(tree.digest)
    for listed in Path("results").rglob("trees.json"):
        for shown in listed.with_suffix("").iterdir():
            for link in shown.iterdir():
                link.unlink()
            shown.rmdir()
            shown.symlink_to(store.absolute())
        listed.write_text('{"listing": "of another layout"}')
    before = {path: path.read_bytes() for path in store.iterdir()}
    snakemake()
    assert {path: path.read_bytes() for path in store.iterdir()} == before
    copy = Path(
        "results/tiny/one/blocks.0.hook_resid_post/trees/topk-sparsity4-seed0/edges.parquet"
    )
    assert copy.is_file() and not copy.is_symlink()
    assert (copy.parent / MANIFEST).is_symlink()


def test_a_name_that_the_sweep_lacks_is_refused_with_the_nearest(place: Any) -> None:
    finish(place, "split")
    text = Path("Snakefile").read_text()
    Path("Snakefile").write_text(text.replace("topk-sparsity4-seed0", "topk-sparsity4-seed9"))
    said = snakemake(status=2)
    assert "Traceback" not in said
    assert "has no 'topk-sparsity4-seed9'; did you mean 'topk-sparsity4-seed" in said


def test_a_mistake_in_the_config_is_one_message(place: Any, base: Any) -> None:
    place.write({**base, "trian": {}})
    said = snakemake(status=2)
    assert "sweep.yaml" in said and "trian: no such key" in said and "Traceback" not in said


def test_a_worker_has_what_the_rules_ask_for_and_nothing_else(folder: Any, base: Any) -> None:
    folder.write(base)
    asked = {name for name in dir(SweepView(folder.plan())) if not name.startswith("_")}
    assert {name for name in dir(WorkerView()) if not name.startswith("_")} == asked
    with pytest.raises(AttributeError):
        WorkerView().neads  # type: ignore[attr-defined]  # noqa: B018
