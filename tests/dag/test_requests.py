"""What the rules ask a cluster for, through Snakemake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import SNAKEFILE


def test_a_profile_that_gives_a_stage_a_gpu_is_counted_on(
    folder: Any, base: Any, requested: Any
) -> None:
    folder.write({**base, "run": {"cpu_tflops": 1e-6}})
    without = requested(folder, {})
    on_gpu = requested(folder, {"train": {"gpu": 1}})
    assert on_gpu["train"] < without["train"]
    assert {**on_gpu, "train": 0} == {**without, "train": 0}


def test_jobs_of_several_stages_can_be_one_of_a_cluster(folder: Any, base: Any) -> None:
    folder.write(base)
    command = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(SNAKEFILE)]
    command += ["--configfile", str(folder.config), "--cores", "1"]
    command += ["--groups", "encode=one", "geometry=one", "landscape=one"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not Path("results").exists()
