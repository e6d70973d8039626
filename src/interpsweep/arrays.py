"""Zarr arrays out of groups, with their type: what a group holds may also be another group."""

from __future__ import annotations

import numpy as np
import zarr


def array_in(group: zarr.Group, name: str) -> zarr.Array:
    """The array `name` of a group. Raises KeyError if there is none, TypeError if it is a group."""
    found = group[name]
    if not isinstance(found, zarr.Array):
        raise TypeError(f"{group.store_path}: {name} is not an array")
    return found


def read(array: zarr.Array, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Entries [start, stop) along the first axis, by default all, as a numpy array."""
    return np.asarray(array[start:stop])
