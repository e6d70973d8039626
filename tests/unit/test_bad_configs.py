"""Bad configurations, hostile ones among them: refused before anything is made, to the letter."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from interpsweep import cli

CASES = YAML(typ="safe").load(Path(__file__).with_name("bad_configs.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].replace(" ", "-"))
def test_a_bad_config_costs_nothing(
    case: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(case["config"], encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["interpsweep", "run", "bad.yaml"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == f"interpsweep: {case['says']}"
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_the_cases_are_many_and_name_their_lines() -> None:
    assert len({case["config"] for case in CASES}) >= 60
    placed = [case for case in CASES if re.match(r"bad\.yaml:\d+: ", case["says"])]
    assert len(CASES) - len(placed) == 4  # files that hold nothing, and a key that is missing
