"""Records of stages: what is said there is so, and nothing else lists the stages."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "dag"), str(ROOT / "scripts")]
import code_lock  # noqa: E402
import stage_pages  # noqa: E402
from edits import CONFIG, SWEEPS  # noqa: E402

from interpsweep import driver  # noqa: E402
from interpsweep.commands.run import snakemake_command  # noqa: E402
from interpsweep.config.base import own_fields  # noqa: E402
from interpsweep.config.figures import FIGURES  # noqa: E402
from interpsweep.plan import Plan  # noqa: E402
from interpsweep.spec import input_digests  # noqa: E402
from interpsweep.stages import STAGES  # noqa: E402

EVERY: dict[str, Any] = {
    "match": {"directions": ["width", "seed", "layer", "levels"]},
    "probes": {"methods": ["projection", "ablation"], "first_letters": True},
    "intervene": {"actions": ["shift", "ablate"]},
}


@pytest.fixture(params=SWEEPS)
def plan(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    CONFIG.write_text(json.dumps(SWEEPS[request.param]() | EVERY))
    return driver.plan_sweep([CONFIG])


def test_every_item_reads_what_its_record_says(plan: Plan) -> None:
    for item in plan.items.by_digest.values():
        read = {plan.items.by_digest[digest].stage for digest in input_digests(item.spec)}
        assert read <= set(STAGES[item.stage].reads), item.stage


def test_every_record_says_only_what_some_item_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[str, set[str]] = {name: set() for name in STAGES}
    for name, make in SWEEPS.items():
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        CONFIG.write_text(json.dumps(make() | EVERY))
        plan = driver.plan_sweep([CONFIG])
        for item in plan.items.by_digest.values():
            read[item.stage] |= {
                plan.items.by_digest[digest].stage for digest in input_digests(item.spec)
            }
    assert read == {name: set(stage.reads) for name, stage in STAGES.items()}


def test_every_item_holds_settings_of_the_class_in_its_record(plan: Plan) -> None:
    for item in plan.items.by_digest.values():
        module, _, name = STAGES[item.stage].settings.partition(":")
        declared, given = getattr(importlib.import_module(module), name), item.spec["settings"]
        if kinds := get_args(declared):  # corpora: what stands for outside files is not validated
            assert given["source"] in {kind.model_fields["source"].default for kind in kinds}
        else:
            assert own_fields(declared, given)


def test_stages_stand_in_the_order_in_which_they_can_run() -> None:
    order = list(STAGES)
    for stage in STAGES.values():
        assert all(order.index(read) < order.index(stage.name) for read in stage.reads)


def test_figures_read_what_the_catalogue_needs() -> None:
    assert {need for figure in FIGURES.values() for need in figure.needs} == set(
        STAGES["figures"].reads
    )


def test_parts_of_a_sweep_are_asked_for_by_their_plain_names() -> None:
    for stage in STAGES.values():
        command = snakemake_command([CONFIG], 1, stage.target, str(ROOT / "profiles/default"))
        assert command[3] == f"all_{stage.target}"
    assert (
        snakemake_command([CONFIG], 1, "a/file.json", str(ROOT / "profiles/default"))[3]
        == "a/file.json"
    )


def test_stages_that_share_a_target_share_a_folder_and_places() -> None:
    by_target: dict[str, set[tuple]] = {}
    for stage in STAGES.values():
        places = stage.together if stage.shown_by is None else stage.shown_by
        by_target.setdefault(stage.target, set()).add((stage.kind, places))
    assert all(len(found) == 1 for found in by_target.values())


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_the_files_of_a_record_are_named_where_they_are_written(stage: Any) -> None:
    closure = code_lock.closure(stage.module)
    source = "\n".join(path.read_text() for name in closure if (path := code_lock._file(name)))
    for name in stage.files:
        stem = name.removesuffix(".parquet")
        assert f'"{name}"' in source or re.search(rf'"{stem}"|\b{stem}[:=]', source), name


def test_no_other_file_lists_the_stages() -> None:
    """Not four in a row: a file may speak of some stages, but takes the list from the records."""
    names = "|".join(STAGES)
    several = re.compile(rf'(["\']?\b({names})\b["\']?[:,]\s*){{4,}}')
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "scripts").glob("*.py"),
               ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]  # fmt: skip
    places = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        if "stages" not in path.parts and several.search(path.read_text())
    }
    assert places == set()


@pytest.mark.parametrize("path", stage_pages.pages(), ids=lambda path: path.name)
def test_pages_about_stages_are_written_from_the_records(path: Path) -> None:
    assert stage_pages.same(path, stage_pages.pages()[path])
