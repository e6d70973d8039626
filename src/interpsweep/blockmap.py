"""One map over blocks of data, for threads, processes or a dask cluster: same calls, same bytes.

Statistics, encoding, co-activation, matching and the census all run through `block_map`. Results
come back in the order of the blocks whatever the engine, so a reduction over them is the same
floating-point sum everywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Literal, TypeVar

Block = TypeVar("Block")
Result = TypeVar("Result")
Engine = Literal["serial", "threads", "processes", "dask"]


def block_map(
    function: Callable[[Block], Result],
    blocks: Iterable[Block],
    *,
    engine: Engine = "serial",
    workers: int = 1,
) -> Iterator[Result]:
    """Yield ``function(block)`` for every block, in the order of `blocks`.

    `function` must be picklable (a top-level function or a partial of one) and depend on its block
    alone. At most ``2 * workers`` results are under way or waiting, so memory is bounded however
    many blocks there are. An exception in a block is raised here, when its turn comes.
    """
    if engine == "serial" or (workers <= 1 and engine != "dask"):
        yield from map(function, blocks)
    elif engine == "dask":
        yield from _dask_map(function, blocks, workers)
    else:
        with _pool(engine, workers) as pool:
            yield from _windowed(pool.submit, function, blocks, 2 * workers)


def _pool(engine: str, workers: int) -> Executor:
    if engine == "threads":
        return ThreadPoolExecutor(workers)
    # spawn, never fork: a forked child inherits locks of the Zarr and BLAS threads
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def _dask_map(
    function: Callable[[Block], Result], blocks: Iterable[Block], workers: int
) -> Iterator[Result]:
    from dask.distributed import Client, LocalCluster, get_client

    try:
        client = get_client()  # a cluster that the caller already holds
        yield from _windowed(client.submit, function, blocks, 2 * max(workers, 1), pure=False)
    except ValueError:
        with (
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=workers, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,  # type: ignore[no-untyped-call]
        ):
            yield from _windowed(client.submit, function, blocks, 2 * workers, pure=False)


def _windowed(
    submit: Callable, function: Callable, blocks: Iterable, window: int, **options: object
) -> Iterator:
    """Submit blocks a window ahead; hand the results out in order."""
    waiting: deque = deque()
    for block in blocks:
        waiting.append(submit(function, block, **options))
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
