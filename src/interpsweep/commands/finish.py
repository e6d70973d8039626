"""The end of a run: Snakemake's own report, and where to look."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from interpsweep.commands.incomplete import incomplete
from interpsweep.plan import Plan
from interpsweep.store import Store

LOCAL = ["--cores", "1", "--executor", "local", "--workflow-profile", "none", "--profile", "none"]


def finish(
    plan: Plan, store: Store, command: list[str] | None, seconds: float | None = None
) -> list[str]:
    """Write the report of a sweep that was tried whole, say where to look, return what it lacks.

    `command` are the arguments of Snakemake that mean this sweep; without them there is no report.
    """
    lacks = incomplete(plan, store)
    if command is not None and _tried(plan):
        _write_snakemake_report(plan, store, command, lacks)
    print(*_where_to_look(plan, lacks, seconds), sep="\n", flush=True)
    return lacks


def _tried(plan: Plan) -> bool:
    """Whether each item of the plan is there, or why it is not."""
    return all(Path(job.index).exists() for job in plan.jobs)


def _write_snakemake_report(plan: Plan, store: Store, command: list[str], lacks: list[str]) -> None:
    """Snakemake's own report, beside the atlas; made again unless it is of the same items."""
    place = Path("results") / plan.sweep.sweep / "snakemake-report.zip"
    stamp = store.root / ".reports" / f"{plan.sweep.sweep}.json"
    of = json.dumps([plan.digest, lacks])
    if place.exists() and stamp.exists() and stamp.read_text() == of:
        return
    place.unlink(missing_ok=True)
    whole = [sys.executable, "-m", "snakemake", "all", *LOCAL, *command, "--report", str(place)]
    result = subprocess.run(whole, capture_output=True, text=True, check=False)
    if result.returncode:
        print(f"Snakemake's report could not be made:\n{result.stderr[-2000:]}", file=sys.stderr)
        return
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(of)


def _where_to_look(plan: Plan, lacks: list[str], seconds: float | None) -> list[str]:
    """Lines that name what people read of a sweep that was tried whole; none if it was not."""
    if not _tried(plan):
        return []
    place = Path("results") / plan.sweep.sweep
    how = "is not complete" if lacks else "is complete"
    took = "" if seconds is None else f" ({seconds:.0f} s)"
    lines = [f"\nSweep {plan.sweep.sweep} {how}{took}. Where to look:"]
    for name, what in (
        ("index.html", "the atlas: findings, figures, tables, provenance"),
        ("figures/", "every figure as SVG and PNG"),
        ("bundle.zip", "figures, tables and manifests for a paper"),
        ("snakemake-report.zip", "Snakemake's report: the graph and its figures"),
    ):
        if (place / name).exists():
            lines.append(f"  {place / name!s:<40} {what}")
    return lines
