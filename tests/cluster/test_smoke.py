"""The shipped profile on a real SLURM: the same bytes as a local run."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster_place import QUICK, ClusterPlace

from cluster import Cluster
from places import Place


@pytest.mark.smoke
def test_a_sweep_through_slurm_gives_the_bytes_of_a_local_run(
    cluster: Cluster, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("slurm", "local")]
    for folder in folders:
        folder.mkdir()
    place, local = ClusterPlace(folders[0], cluster), Place(folders[1])
    place.configs = [*QUICK]
    place.configure("run: {workers: 2}")
    place.sweep("--target", "matches")
    local.run("run", *QUICK, "--target", "matches")
    assert place.items() == local.items()
    assert {"train", "encode", "match"} <= set(place.stages(set(place.items())))

    jobs = place.jobs("State,Partition,AllocTRES")
    assert {state for state, _, _ in jobs} == {"COMPLETED"}
    # model, capture, train and encode got a GPU each; corpus, mask and match did not
    assert sorted(("gres/gpu=1" in got, partition) for _, partition, got in jobs) == [
        *[(False, "cpu")] * 3,
        *[(True, "gpu")] * 4,
    ]
    # processors reach the step that works, not only the job around it
    ids = ",".join(number for [number] in place.jobs("JobID"))
    steps = cluster.call("sacct", "-n", "-P", "-j", ids, "-o", "JobID,AllocCPUS").split()
    assert {step.split("|")[1] for step in steps} == {"2"}
    place.sweep("--target", "matches")
    assert place.jobs("State,Partition,AllocTRES") == jobs  # nothing was submitted again
