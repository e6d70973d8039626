"""One map over blocks of data, for threads, processes or dask workers: same calls, same bytes.

Statistics, encoding, co-activation, matching and the census all run through `block_map`. Results
come back in the order of the blocks whatever the engine, so a reduction over them is the same
floating-point sum everywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from interpsweep.errors import UserError

if TYPE_CHECKING:
    from dask.distributed import Client

Block = TypeVar("Block")
Result = TypeVar("Result")
Engine = Literal["serial", "threads", "processes", "dask", "dask-slurm"]


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
    if engine in ("dask", "dask-slurm"):
        with dask_client(engine, workers) as client:
            yield from _windowed(client.submit, function, blocks, 2 * workers, pure=False)
    elif engine == "serial" or workers <= 1:
        yield from map(function, blocks)
    else:
        with _pool(engine, workers) as pool:
            yield from _windowed(pool.submit, function, blocks, 2 * workers)


def _pool(engine: str, workers: int) -> Executor:
    if engine == "threads":
        return ThreadPoolExecutor(workers)
    # spawn, never fork: a forked child inherits locks of the Zarr and BLAS threads
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@contextmanager
def dask_client(engine: Engine, workers: int) -> Iterator[Client]:
    """A client of dask workers: of those that the caller already holds, else of new ones.

    ``dask`` starts them as processes here; ``dask-slurm`` submits each as a job of its own, with
    what dask's configuration says under ``jobqueue.slurm`` (partition, account, memory, time).
    Holding a client around many maps spares starting workers for each.
    """
    from dask.distributed import Client, get_client

    try:
        yield get_client()
        return
    except ValueError:
        pass
    with _dask_cluster(engine, workers) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        yield client


def _dask_cluster(engine: Engine, workers: int) -> Any:
    if engine == "dask":
        from dask.distributed import LocalCluster

        return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)  # type: ignore[no-untyped-call]
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise UserError(
            "run.engine: dask-slurm needs the package dask-jobqueue; pip install '.[slurm]'"
        ) from None
    try:
        cluster = SLURMCluster(scheduler_options={"dashboard_address": None})
    except (TypeError, ValueError) as error:
        raise UserError(
            f"run.engine: dask-slurm: {error}. Say under jobqueue.slurm in a file of dask's "
            "configuration what one worker asks for; profiles/slurm/dask.yaml is one"
        ) from None
    cluster.scale(workers)
    return cluster


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
