from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import code_lock


def test_every_stage_is_locked_as_it_is() -> None:
    assert code_lock.stale() == {}


def test_the_closure_reaches_what_a_stage_imports() -> None:
    names = code_lock.closure("interpsweep.saes.train")
    assert {"interpsweep.saes.train", "interpsweep.activations.reader"} <= names
    assert not any(name.startswith("interpsweep.store") for name in names)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("x = 1  # one", "x = 1", True),
        ('def f():\n    "Doc."\n    return 1', 'def f():\n    "Other."\n    return 1', True),
        ("x = 1", "x = 2", False),
    ],
)
def test_comments_and_docstrings_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, same: bool
) -> None:
    monkeypatch.setattr(code_lock, "SOURCE", tmp_path)
    (tmp_path / "interpsweep").mkdir()
    meanings = []
    for text in (old, new):
        (tmp_path / "interpsweep/m.py").write_text(text)
        meanings.append(code_lock._meaning("interpsweep.m"))
    assert (meanings[0] == meanings[1]) is same
