"""Outside inputs may go when they were used: planning reads the lock only."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from edits import SWEEPS, lock

from interpsweep.commands.inspect import explain_item, show_plan, show_status
from interpsweep.errors import UserError
from interpsweep.lock import read_lock
from interpsweep.profiles import Profile


@pytest.fixture
def moved(folder):
    """A finished sweep over local texts, whose texts and model were then moved away."""
    folder.write(SWEEPS["local"]())
    plan = folder.finish()
    for name in ("texts", "checkpoint"):
        shutil.move(name, f"elsewhere-{name}")
    return plan


def test_a_finished_sweep_is_planned_without_its_files(folder, moved, planned) -> None:
    assert folder.plan().digest == moved.digest
    assert planned(folder) == set()


def test_every_look_at_it_works_without_its_files(folder, moved, capsys) -> None:
    show_plan([folder.config], Profile(Path()))
    show_status([folder.config])
    explain_item(moved.items.of("corpus")[0].digest, [folder.config])
    said = capsys.readouterr()
    assert "exists; nothing would be redone" in said.out and "complete" in said.out
    assert "not in the lock" not in said.err


def test_making_the_corpus_needs_the_file_and_names_it(folder, moved) -> None:
    from interpsweep.context import Context
    from interpsweep.lock import externals

    known = externals(read_lock(folder.config.with_suffix(".lock.json")))
    (digest,) = [d for d, name in known.items() if name == "text:texts/a.txt"]
    with pytest.raises(UserError, match=r"texts/a\.txt"):
        Context(externals=known).external(digest)


def test_a_file_that_matches_later_is_named_and_taken_in_by_the_lock(folder, capsys) -> None:
    data = SWEEPS["local"]()
    folder.write(data)
    plan = folder.plan()
    Path("texts/c.txt").write_text("c")
    capsys.readouterr()
    assert folder.plan().digest == plan.digest
    assert "1 files match that are not in the lock (text:texts/c.txt" in capsys.readouterr().err
    lock(data, plan)
    assert folder.plan().digest != plan.digest
    kept = json.loads(read_lock(folder.config.with_suffix(".lock.json"))["files:texts/*.txt"])
    assert kept == [f"text:texts/{name}.txt" for name in "abc"]


def test_installed_packages_are_those_of_the_lock(folder, monkeypatch) -> None:
    from interpsweep.corpora import identity

    data = SWEEPS["local"]()
    data["corpus"] = {"source": "docstrings", "n_tokens": 10_000}
    monkeypatch.setattr(identity, "installed_packages", lambda: ["seaborn", "typer"])
    folder.write(data)
    plan = folder.plan()
    monkeypatch.setattr(identity, "installed_packages", lambda: ["seaborn"])
    assert folder.plan().digest == plan.digest
    lock(data, plan)
    assert folder.plan().digest != plan.digest
