"""Compiled loops over sparse codes for CPUs (numba). All arrays are numpy and C-contiguous.

Every kernel works on a range ``start:stop`` of rows or latents and writes nothing outside it, so
`spread` can hand ranges to threads and the result does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numba import njit

Array = np.ndarray

# sums may be reordered (that is what makes them vector instructions); NaN and inf stay themselves
FAST = {"reassoc", "contract", "nsz", "arcp"}
_SMALL_WORK = 64  # rows or latents below which threads cost more than they save


def serves(tensor: torch.Tensor) -> bool:
    """Whether the compiled loops are what works on a tensor; if not, torch's own kernels are."""
    return tensor.device.type == "cpu"


def compiled(function: Callable) -> Callable:
    """Compile at first use, keep the machine code beside the module, release the GIL."""
    return njit(function, nogil=True, cache=True, fastmath=FAST, error_model="numpy")


@lru_cache(maxsize=1)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="kernels")


def spread(kernel: Callable, count: int, *arguments: Any) -> list:
    """Results of ``kernel(start, stop, *arguments)`` over 0:count on torch's number of threads."""
    threads = torch.get_num_threads()
    if threads == 1 or count < _SMALL_WORK:
        return [kernel(0, count, *arguments)]
    cuts = [count * part // threads for part in range(threads + 1)]
    others = [
        _pool(threads - 1).submit(kernel, cuts[part], cuts[part + 1], *arguments)
        for part in range(1, threads)
    ]
    return [kernel(0, cuts[1], *arguments), *(other.result() for other in others)]
