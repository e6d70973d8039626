"""A cluster job parses the rules again, without the plan: its job must run all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import SNAKEFILE


def test_a_job_runs_in_the_process_that_a_cluster_starts(folder: Any, base: Any) -> None:
    folder.write(base)
    plan = folder.finish()
    job = next(job for job in plan.jobs if job.stage == "train")
    index = Path(job.index)
    expected = index.read_bytes()
    index.unlink()
    command = [sys.executable, "-m", "snakemake", "--mode", "remote", "--snakefile", SNAKEFILE]
    command += ["--target-jobs", f"train:name={job.name},digest={job.digest}"]
    command += ["--allowed-rules", "train", "--force", "--nolock", "--cores", "1"]
    command += ["--rerun-triggers", "mtime", "--configfile", folder.config]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert index.read_bytes() == expected
    assert not Path("store/.locks").exists()  # workers are no drivers
