from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_place import QUICK, ClusterPlace

from cluster import Cluster, wait_until, why_not
from places import Place


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder) / "c").start()
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Iterator[ClusterPlace]:
    yield ClusterPlace(tmp_path, cluster)
    cluster.call("scancel", "--user=root")
    wait_until(lambda: not cluster.call("squeue", "-h"), "the queue to empty", 60)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same sweep up to its matches, run without a cluster."""
    place = Place(tmp_path_factory.mktemp("local"))
    place.run("run", *QUICK, "--target", "matches")
    return place
