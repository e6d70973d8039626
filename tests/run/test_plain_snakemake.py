"""Snakemake alone does what `interpsweep run` does: the same checks, items, report and status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from places import Place

pytestmark = pytest.mark.quick

FILES = ("config/config.yaml", "config/overlays/quick.yaml")
# the profile is the clone's `profiles/default`, which Snakemake reads by itself
SMALL = ("train={widths: [32], tokens: 50_000}", "figures={draw: [pareto]}")


def snakemake(place: Place, *arguments: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "snakemake", "--configfile", *FILES, *arguments]
    result = subprocess.run(
        command, cwd=place.root, env=place.environment, capture_output=True, text=True, check=False
    )
    text = result.stdout + result.stderr
    assert result.returncode == status, text[-5000:]
    return text


def test_a_sweep_in_parts_and_what_is_checked_before(tmp_path: Path) -> None:
    place = Place(tmp_path)
    mine = place.root / "profiles/mine"
    mine.mkdir()
    (mine / "profile.yaml").write_text(
        "executor: slurm\ndefault-resources:\n  slurm_partition: all\n"
    )
    said = snakemake(place, "--workflow-profile", "mine", "--jobs", "1", status=2)
    assert "slurm_partition: all is a word of Python" in said and "Traceback" not in said
    said = snakemake(
        place,
        "--config",
        "models=[{name: calendar, source: trained, sites: [blocks.9.hook_resid_post]}]",
        status=2,
    )
    assert "blocks.9.hook_resid_post" in said and "Traceback" not in said
    assert not place.items()

    small = ("--config", *SMALL)
    snakemake(place, "--until", "corpus", *small)
    assert place.stages(set(place.items())) == ["corpus"]
    halves = [snakemake(place, "--batch", f"all={half}/2", *small) for half in (1, 2)]
    shown = place.root / "results/quick"
    assert any("Sweep quick is complete. Where to look" in said for said in halves)
    for name in ("index.html", "bundle.zip", "snakemake-report.zip", "claims.json"):
        assert (shown / name).exists(), name
    made = place.items()
    assert "Nothing to be done" in snakemake(place, *small)
    # a rule that is run again for its text or inputs leaves the items that are there
    snakemake(place, "--rerun-triggers", "code", "params", "input", "mtime", *small)
    (shown / "snakemake-report.zip").unlink()
    said = place.run("run", *FILES, "--", *small)  # means the same, and has nothing to make
    assert "Sweep quick is complete" in said and place.items() == made
    assert (shown / "snakemake-report.zip").exists()
    snakemake(place, "--report", "own.html", *small)
    assert (place.root / "own.html").exists()
