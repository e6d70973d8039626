"""Compiled loops over sparse codes for CPUs (numba), and how kernels share work among threads.

Torch sums in an order that depends on its number of threads. So `use_threads` leaves torch with
one, and kernels cut their work into pieces that do not depend on the number of threads: rows or
latents that are summed by one thread each, and blocks of rows for matrix products. Whatever the
number of threads, the result is the same to the last bit.

All arrays of compiled loops are numpy and C-contiguous; each works on a range ``start:stop`` and
writes nothing outside it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch

BLOCK_ROWS = 256  # of matrix products: part of the result
_SMALL_WORK = 1 << 20  # numbers in all arrays of a kernel below which threads cost more


def serves(tensor: torch.Tensor) -> bool:
    """Whether the compiled loops are what works on a tensor; if not, torch's own kernels are."""
    return tensor.device.type == "cpu"


_threads = 1


def use_threads(count: int) -> None:
    """Share the work of kernels among so many threads; torch itself gets one."""
    global _threads
    torch.set_num_threads(1)
    _threads = count


@lru_cache(maxsize=1)
def _pool(workers: int) -> ThreadPoolExecutor:
    # torch's number of threads is a property of the calling thread
    return ThreadPoolExecutor(workers, "kernels", initializer=torch.set_num_threads, initargs=(1,))


def share(work: Callable[[int], Any], count: int) -> list:
    """``[work(0), work(1), ...]``, shared among the threads."""
    threads = min(_threads, count)
    if threads <= 1:
        return [work(i) for i in range(count)]

    # whether torch records gradients, too, is a property of the calling thread
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def every(first: int) -> list:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return [work(i) for i in range(first, count, threads)]

    others = [_pool(_threads - 1).submit(every, first) for first in range(1, threads)]
    parts = [every(0), *(other.result() for other in others)]
    return [parts[i % threads][i // threads] for i in range(count)]


def spread(kernel: Callable, count: int, *arguments: Any) -> list:
    """Results of ``kernel(start, stop, *arguments)`` over 0:count, one for each thread."""
    if _threads == 1 or sum(getattr(a, "size", 1) for a in arguments) < _SMALL_WORK:
        return [kernel(0, count, *arguments)]
    parts = min(_threads, count)
    cuts = [count * part // parts for part in range(parts + 1)]
    return share(lambda part: kernel(cuts[part], cuts[part + 1], *arguments), parts)


def matmul(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """``left @ right`` in blocks of rows."""
    if not serves(left):
        return left @ right
    out = left.new_empty(len(left), right.shape[1])

    def block(i: int) -> None:
        rows = slice(i * BLOCK_ROWS, (i + 1) * BLOCK_ROWS)
        torch.mm(left[rows], right, out=out[rows])

    share(block, -(-len(left) // BLOCK_ROWS))
    return out
