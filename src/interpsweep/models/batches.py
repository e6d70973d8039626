"""What shares a forward pass: a pure function of the corpus and of the settings. No torch.

Floating-point results depend on the shape of a batch, so batches must never depend on how a run was
interrupted or packed. Nothing is ever padded: a batch has contexts of one length.
"""

from __future__ import annotations

import numpy as np


def windows(offsets: np.ndarray, window_tokens: int) -> list[tuple[int, int]]:
    """Stretches [c0, c1) of contexts that cover the corpus, each as soon as it has enough tokens.

    `offsets` (contexts + 1,) are the token offsets of contexts.
    """
    edges, first = [], 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + window_tokens))
        last = min(max(last, first + 1), len(offsets) - 1)
        edges.append((first, last))
        first = last
    return edges


def length_batches(lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Batches of indices into `lengths`: equal lengths together, short ones first, in order.

    A batch has as many contexts as fit into `batch_tokens`, at least one; empty contexts are left
    out. What shares a batch is thus a function of the corpus and of two settings alone.
    """
    batches = []
    for length in np.unique(lengths[lengths > 0]):
        same = np.flatnonzero(lengths == length)
        size = max(1, batch_tokens // int(length))
        batches += [same[i : i + size] for i in range(0, len(same), size)]
    return batches
