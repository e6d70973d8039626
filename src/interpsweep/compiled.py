"""Loops compiled for CPUs (numba); numpy alone, for every floor of the house.

All arrays of compiled loops are numpy and C-contiguous.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

Array = np.ndarray

# sums may be reordered (that is what makes them vector instructions); NaN and inf stay themselves
FAST = {"reassoc", "contract", "nsz", "arcp"}


def compiled(function: Callable) -> Callable:
    """Compile at first use, keep the machine code beside the module, release the GIL."""
    return njit(function, nogil=True, cache=True, fastmath=FAST, error_model="numpy")


@compiled
def dot(left: Array, right: Array) -> np.floating:
    """Scalar product of two float32 vectors."""
    total = np.float32(0)
    for i in range(len(left)):
        total += left[i] * right[i]
    return total
