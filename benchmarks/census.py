"""Time and memory of a census: a dictionary with many planted groups, all nulls, by step.

    python benchmarks/census.py [groups] [loose directions] [dimension]

CPU seconds of all workers, so that a busy machine does not matter; two workers.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from interpsweep.config.analysis import GeometrySettings
from interpsweep.context import Context
from interpsweep.geometry import census, communities


def dictionary(groups: int, loose: int, dim: int) -> np.ndarray:
    """Unit rows: groups of 5 to 12 around a common direction, a third of them rings, and noise."""
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((loose, dim)) / np.sqrt(dim)]
    for number in range(groups):
        k = int(rng.integers(5, 13))
        group = np.tile(rng.standard_normal(dim) / np.sqrt(dim), (k, 1))
        if number % 3 == 0:
            t = 2 * np.pi * np.arange(k) / k
            group = group + np.c_[np.cos(t), np.sin(t)] @ rng.standard_normal((2, dim)) / dim**0.5
        rows.append(group + 0.5 * rng.standard_normal((k, dim)) / np.sqrt(dim))
    made = np.vstack(rows)
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def spent() -> float:
    """CPU seconds of this process, its threads and its finished children."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main() -> None:
    groups, loose, dim = [*map(int, sys.argv[1:]), *(1000, 2000, 256)[len(sys.argv) - 1 :]]
    unit, settings = dictionary(groups, loose, dim), GeometrySettings()
    ctx = Context(engine="threads", workers=2)
    print(f"{len(unit)} directions in {dim} dimensions, {groups} planted groups")
    began, wall = spent(), time.perf_counter()

    def said(what: str) -> None:
        nonlocal began, wall
        now, here = spent(), time.perf_counter()
        print(f"{what:24s} {now - began:7.1f} CPU s {here - wall:7.1f} s", flush=True)
        began, wall = now, here

    graph = communities.neighbour_graph(unit, settings.neighbours)
    communities.communities(
        graph, 0.2, settings.min_cluster, settings.max_cluster, np.random.default_rng(0)
    )
    said("neighbours, Leiden")
    found = census.by_directions(unit, settings, ctx)
    said("groups")
    searched = census.search(unit, found, settings, ctx)
    said("null dictionaries")
    table = census.take(unit, np.arange(len(unit)), found, None, searched, settings, ctx)
    said("tests")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    named = table.drop_duplicates("cluster")["best_model"].value_counts().to_dict()
    print(f"{len(found)} clusters, {named}; {peak:.1f} GiB")


if __name__ == "__main__":
    main()
