"""The measure of mixing: known numbers of pairs, by enumeration and where a block is a batch."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from benchmark_scripts import benchmark


@pytest.fixture(scope="module")
def mixing():
    return benchmark("mixing")


def test_the_ideal_is_the_mean_over_all_batches(mixing):
    document = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    every = [np.array(rows) for rows in combinations(range(8), 4)]
    counted = np.mean([mixing.pairs_within(document[rows]) for rows in every])
    assert mixing.pairs_within(document) == 3 + 1 + 0 + 1
    assert mixing.ideal_pairs(5, 8, 4) == pytest.approx(counted)
    counted = np.mean([mixing.neighbours_within(rows, document) for rows in every])
    assert mixing.neighbours_within(np.arange(8), document) == 2 + 1 + 0 + 1
    assert mixing.ideal_pairs(4, 8, 4) == pytest.approx(counted)


def test_a_batch_that_is_a_chunk_holds_all_its_pairs(mixing, tmp_path):
    rows, chunk = 4096, 256
    activations = mixing.numbered(tmp_path, rows, chunk)
    document = np.arange(rows) // 32  # eight whole documents in a chunk
    found = list(mixing.batches(activations, chunk, block_chunks=1))
    assert len(found) == 16
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(rows))
    assert {mixing.pairs_within(document[batch]) for batch in found} == {8 * 32 * 31 // 2}
    assert {mixing.neighbours_within(batch, document) for batch in found} == {8 * 31}


@pytest.mark.parametrize("block", [2, 4, 16])
def test_a_block_is_mixed_like_a_sample_of_its_own_rows(mixing, tmp_path, block):
    rows, chunk, batch = 65_536, 4096, 512
    activations = mixing.numbered(tmp_path, rows, chunk)
    document = np.arange(rows) // 64
    found = [
        mixing.pairs_within(document[taken]) for taken in mixing.batches(activations, batch, block)
    ]
    inside = block * chunk
    expected = mixing.ideal_pairs(inside // 64 * 64 * 63 // 2, inside, batch)
    error = 5 * np.sqrt(expected / len(found))  # pairs are nearly Poisson
    assert np.mean(found) == pytest.approx(expected, abs=error)
