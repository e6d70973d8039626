"""What the rules ask a cluster for, through Snakemake."""

from __future__ import annotations

from typing import Any


def test_a_profile_that_gives_a_stage_a_gpu_is_counted_on(
    folder: Any, base: Any, requested: Any
) -> None:
    folder.write({**base, "run": {"cpu_tflops": 1e-6}})
    without = requested(folder, {})
    on_gpu = requested(folder, {"train": {"gpu": 1}})
    assert on_gpu["train"] < without["train"]
    assert {**on_gpu, "train": 0} == {**without, "train": 0}
