"""Do the latents of a cluster fire one at a time (plain superposition), beside independent firing?

A cloud holds only rows on which some latent fires, and there rare latents are alone however
independent they are. The null therefore keeps how often each latent fires among all rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry.nulls import upper_p

DRAWS = 999


class Tally(NamedTuple):
    """Firings of some latents, counted over all `rows` that a cloud could have been taken from."""

    rows: int
    firings: NDArray[np.int64]  # (k,) rows on which each latent fires
    any: int  # rows on which at least one of them does
    one: int  # rows on which exactly one does


class Exclusive(NamedTuple):
    """How exclusive the latents are."""

    share: float  # of the rows on which a latent fires, those on which exactly one does
    null: float  # its mean if the latents fired independently
    p: float  # of a share at least as large


def tally(active: NDArray[np.integer], firings: NDArray[np.integer]) -> Tally:
    """From the number of latents that fire on each row (n,) and the firings of each latent (k,)."""
    return Tally(
        len(active),
        np.asarray(firings, np.int64),
        int(np.count_nonzero(active)),
        int(np.count_nonzero(active == 1)),
    )


def test(found: Tally, rng: np.random.Generator) -> Exclusive:
    """The share of rows with exactly one latent beside latents put on rows at random.

    p takes rows for exchangeable: firing that comes in runs makes it too small. NaN where no latent
    ever fires.
    """
    if not found.any:
        return Exclusive(np.nan, np.nan, np.nan)
    share, null = found.one / found.any, independent(found, DRAWS, rng)
    return Exclusive(share, float(null.mean()), upper_p(share, null))


def independent(found: Tally, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The share of rows with exactly one latent, (draws,), each latent firing as often as it does
    on rows drawn without regard to the others.

    Exactly the permutation of every column of the codes: of the rows that a latent is put on, those
    without and those with one latent so far are hypergeometric.
    """
    none, one = np.full(draws, found.rows), np.zeros(draws, np.int64)
    for count in found.firings:
        first = rng.hypergeometric(none, found.rows - none, count)
        second = rng.hypergeometric(one, found.rows - none - one, count - first)
        none, one = none - first, one + first - second
    return np.asarray(one / (found.rows - none))
