"""Loops compiled for CPUs (numba); numpy alone, for every floor of the house.

All arrays of compiled loops are numpy and C-contiguous.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

Array = np.ndarray

# sums may be reordered (that is what makes them vector instructions); NaN and inf stay themselves
FAST = {"reassoc", "contract", "nsz", "arcp"}


def compiled(function: Callable) -> Callable:
    """Compile at first use, keep the machine code beside the module, release the GIL.

    Without a writable folder for the code (``NUMBA_CACHE_DIR`` names one) every process compiles.
    """
    options: Any = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # neither the module's folder nor the user's cache can be written
        return njit(function, **options)


@compiled
def put(target: Array, source: Array) -> None:
    """``target[:] = source`` for vectors of one length.

    Compiling that assignment takes seconds: numba brings the text of its error message with it.
    """
    for i in range(len(target)):
        target[i] = source[i]


@compiled
def dot(left: Array, right: Array) -> np.floating:
    """Scalar product of two float32 vectors."""
    total = np.float32(0)
    for i in range(len(left)):
        total += left[i] * right[i]
    return total
