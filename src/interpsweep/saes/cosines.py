"""How alike the directions of one SAE are: nearest other latent, encoder against decoder."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor
from torch.nn.functional import normalize

BLOCK_FLOATS = 1 << 24  # cosines held at once

QUANTILES = (0.5, 0.9, 0.99)


def nearest(directions: Tensor) -> tuple[Tensor, Tensor]:
    """Largest cosine of each row of (n, d) with another row, (n,), and that row, (n,) int64.

    Of equal ones the first. Needs two rows. Memory is bounded whatever n is, and every pair is
    multiplied once.
    """
    unit = normalize(directions, dim=1)
    n = len(unit)
    cosine, index = unit.new_full((n,), -2.0), torch.zeros(n, dtype=torch.int64, device=unit.device)
    rows = max(64, BLOCK_FLOATS // n)
    for start in range(0, n, rows):
        block = unit[start : start + rows]
        products = block @ unit[start:].T
        products.fill_diagonal_(-2.0)
        _raise(cosine[start:], index[start:], *products.max(0), shift=start)
        here = slice(start, start + len(block))
        _raise(cosine[here], index[here], *products.max(1), shift=start)
    return cosine.clamp(-1, 1), index


def _raise(cosine: Tensor, index: Tensor, found: Tensor, at: Tensor, shift: int) -> None:
    """Take up what was found where it is larger than what is held, in place."""
    better = found > cosine
    cosine.copy_(torch.where(better, found, cosine))
    index.copy_(torch.where(better, at + shift, index))


def random_median(n: int, d: int) -> float:
    """Median of the largest cosine of one of n random unit vectors in d dimensions with another.

    The cosine with one other is below c with probability 1 - I(1 - c^2; (d - 1) / 2, 1 / 2) / 2
    (I: regularised incomplete beta function), and the n - 1 others are independent of each other.
    """
    below = 0.5 ** (1 / (n - 1))
    share = 2 * min(below, 1 - below)
    cosine = float(np.sqrt(1 - betaincinv((d - 1) / 2, 0.5, share)))
    return cosine if below >= 0.5 else -cosine


def paired(encoder: Tensor, decoder: Tensor) -> Tensor:
    """Cosine (n,) of each row of `encoder` (n, d) with the same row of `decoder` (n, d)."""
    return (normalize(encoder, dim=1) * normalize(decoder, dim=1)).sum(1).clamp(-1, 1)
