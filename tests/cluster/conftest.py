from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster, install, why_not


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    try:
        install()
    except RuntimeError as error:  # no package source
        pytest.skip(f"SLURM could not be installed: {error}")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder) / "c").start()
        try:
            yield cluster
        finally:
            cluster.stop()
