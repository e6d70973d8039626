"""Statistics of latents gathered in blocks: exact numbers, and samples that blocks don't change."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from interpsweep.saes.activity import SAMPLE, Activity

SHARES = (0.1, 0.5, 0.9, 0.99)


def gathered(codes: sp.csr_matrix, block: int) -> Activity:
    made = Activity(codes.shape[1])
    for start in range(0, codes.shape[0], block):
        part = codes[start : start + block]
        made.add(start, part.indptr, part.indices, part.data)
    return made


def test_counts_sums_and_quantiles() -> None:
    rng = np.random.default_rng(0)
    rows = 40_000
    fires = rng.random((rows, 5)) < [0.9, 0.1, 0.01, 0.001, 0.0]
    values = np.where(fires, rng.exponential(1.0, fires.shape) + 0.01, 0).astype(np.float32)
    codes = sp.csr_matrix(values)
    one, many = gathered(codes, rows), gathered(codes, 700)
    np.testing.assert_array_equal(one.count, fires.sum(axis=0))
    np.testing.assert_allclose(one.total, values.sum(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_array_equal(one.largest, values.max(axis=0))
    found = one.quantiles(SHARES)
    np.testing.assert_array_equal(found, many.quantiles(SHARES))
    assert np.isnan(found[:, 4]).all()
    for latent in (2, 3):  # fires less often than a sample holds: exact
        mine = np.sort(values[fires[:, latent], latent])
        assert len(mine) <= SAMPLE
        at = np.floor(np.array(SHARES) * (len(mine) - 1)).astype(int)
        np.testing.assert_array_equal(found[:, latent], mine[at])
    for latent in (0, 1):  # within four standard deviations of a share in a sample
        mine = np.sort(values[fires[:, latent], latent])
        share = np.searchsorted(mine, found[:, latent]) / len(mine)
        assert (
            abs(share - SHARES)
            < 4 * np.sqrt(np.multiply(SHARES, 1 - np.array(SHARES)) / SAMPLE) + 0.01
        ).all()
