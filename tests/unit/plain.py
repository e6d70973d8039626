"""What stands in for a job's context where a test calls a step by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp


class Plain:
    """A context that maps in order."""

    @staticmethod
    def block_map(function: Any, blocks: Any, what: str = "") -> Any:
        return map(function, blocks)


class Matrix:
    """Codes or activations (rows, columns) in memory, behind the interface of their readers."""

    def __init__(self, values: Any, chunk: int = 1000) -> None:
        self.values, self.chunk = values, chunk
        self.n_rows, self.d_sae = values.shape
        self.rows = (0, self.n_rows)

    @property
    def count(self) -> np.ndarray:
        return np.asarray((sp.csr_matrix(self.values) > 0).sum(axis=0)).ravel()

    @property
    def peaks(self) -> np.ndarray:
        return np.asarray(sp.csr_matrix(self.values).max(axis=0).todense(), np.float64).ravel()

    def read(self, start: int, stop: int) -> Any:
        return self.values[start:stop]

    def chunks(self) -> list[tuple[int, int]]:
        edges = range(0, self.n_rows, self.chunk)
        return [(s, min(s + self.chunk, self.n_rows)) for s in edges]

    def token(self, start: int, stop: int) -> np.ndarray:
        return np.arange(start, stop)
