"""What Snakemake's own command line says is obeyed or refused in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from places import Place


def looked(place: Place, *arguments: str, status: int = 0) -> str:
    """What `snakemake -n` says."""
    command = [sys.executable, "-m", "snakemake", "-n", *arguments]
    result = subprocess.run(
        command, cwd=place.root, env=place.environment, capture_output=True, text=True, check=False
    )
    text = result.stdout + result.stderr
    assert result.returncode == status, text
    return text


def trained(place: Place) -> set[tuple[int, int]]:
    """(width, seed) of the SAEs that the last look planned."""
    specs = [json.loads(path.read_text()) for path in (place.root / "store/.specs").glob("*.json")]
    settings = [
        spec["settings"] for spec in specs if spec.get("stage") == "train" if "inputs" in spec
    ]
    shutil.rmtree(place.root / "store")
    return {(one["d_sae"], one["seed"]) for one in settings}


@pytest.fixture
def place(tmp_path: Path, base: dict[str, Any]) -> Place:
    place = Place(tmp_path)
    (place.root / "sweep.yaml").write_text(json.dumps(base))
    return place


def test_snakemakes_config_is_laid_over_the_files(place: Place) -> None:
    files = ("--configfile", "sweep.yaml")
    looked(place, *files)
    assert len(trained(place)) > 1
    text = looked(place, *files, "--config", "train={widths: [48], seeds: [7]}", "sweep=mine")
    assert trained(place) == {(48, 7)} and "results/mine/" in text
    looked(place, "--config", "configfile=sweep.yaml", "train={widths: [48], seeds: [7]}")
    assert trained(place) == {(48, 7)}
    for wrong, said in (
        ("nonsense=3", "--config nonsense:1: nonsense: no such key"),
        ("train={widhts: [32]}", "did you mean 'widths'?"),
    ):
        text = looked(place, *files, "--config", wrong, status=2)
        assert said in text and "Traceback" not in text
