"""How well the training stream mixes: rows that belong together, per batch, against the ideal.

    python benchmarks/mixing.py [--chunks 64] [--chunk-rows 32768] [--batch 2048]

Rows of one document resemble each other, so a batch that holds many of them says less than its
size promises. The real `Stream` runs over an array whose rows hold their own number, for several
sizes of its block of chunks, on documents in the order of their sources and permuted (as the
corpus stage leaves them). Of each kind of pair the table gives the mean number per batch, and its
ratio to uniform sampling without replacement from the whole split:

* document: pairs of rows from one document;
* neighbour: pairs of rows that follow each other in one document;
* source: pairs from one of SOURCES equal parts of the corpus, such as the files it came in.

`partners` is the number of other rows of a batch that share the document of a row: with a
correlation r between rows of a document, a batch is worth its size over 1 + partners * r.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from interpsweep.activations.artifact import ARRAY, SPLITS, Activations, create_array
from interpsweep.activations.reader import Stream
from interpsweep.tables import write_json

SOURCES = 20
BLOCKS = (1, 2, 4, 8, 16, 32)
MEAN_ROWS = 400  # in a document


def ideal_pairs(pairs: int, rows: int, batch: int) -> float:
    """Expected number, out of so many `pairs` of the `rows`, that uniform sampling puts into a
    batch without replacement."""
    return pairs * batch * (batch - 1) / (rows * (rows - 1))


def pairs_within(groups: np.ndarray) -> int:
    """Number of pairs of entries of `groups` (n,) that are equal."""
    counts = np.unique(groups, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def neighbours_within(rows: np.ndarray, groups: np.ndarray) -> int:
    """Number of pairs of `rows` (n,), distinct, that follow each other in the same one of `groups`.

    `groups` (all rows,) is indexed by row.
    """
    rows = np.sort(rows)
    follow = np.diff(rows) == 1
    return int((follow & (groups[rows[1:]] == groups[rows[:-1]])).sum())


def numbered(folder: Path, rows: int, chunk_rows: int) -> Activations:
    """Activations of width 1 whose rows hold their own number; all of them train."""
    create_array(folder / ARRAY, rows, 1, chunk_rows, "float32")[:] = np.arange(rows)[:, None]
    write_json({"train": [0, rows]}, folder / SPLITS)
    return Activations.open(folder)


def batches(activations: Activations, batch: int, block_chunks: int) -> Iterator[np.ndarray]:
    """The rows in every batch of the first epoch."""
    with Stream(activations, "train", batch, seed=0, block_chunks=block_chunks) as stream:
        for step in range(stream.steps_per_epoch):
            yield stream.batch(step)[:, 0].astype(np.int64)


def corpus(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Document and source of every row; documents of very different lengths, sources in order."""
    rng = np.random.default_rng(0)
    lengths = np.ceil(rng.lognormal(np.log(MEAN_ROWS) - 0.5, 1.0, 2 * rows // MEAN_ROWS + 100))
    document = np.repeat(np.arange(len(lengths)), lengths.astype(int))[:rows]
    return document, document * SOURCES // (document[-1] + 1)


def permuted(document: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same corpus with its documents in random order."""
    place = np.random.default_rng(1).permutation(document[-1] + 1)
    order = np.argsort(place[document], kind="stable")
    return document[order], source[order]


def pairs(taken: np.ndarray, document: np.ndarray, source: np.ndarray) -> list[int]:
    """Pairs of each kind among some rows."""
    return [
        pairs_within(document[taken]),
        neighbours_within(taken, document),
        pairs_within(source[taken]),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=64)
    parser.add_argument("--chunk-rows", type=int, default=32768)
    parser.add_argument("--batch", type=int, default=2048)
    options = parser.parse_args()
    rows, batch = options.chunks * options.chunk_rows, options.batch
    if rows > 1 << 24:
        parser.error("more than 2^24 rows cannot be numbered in float32")
    in_order = corpus(rows)
    print(
        f"{options.chunks} chunks of {options.chunk_rows:,} rows, {in_order[0][-1] + 1:,} ", end=""
    )
    print(f"documents, batches of {batch:,}: pairs per batch, and in units of the ideal")
    print("documents block        document     neighbour            source  partners")
    with tempfile.TemporaryDirectory() as folder:
        activations = numbered(Path(folder), rows, options.chunk_rows)
        for name, groups in (("permuted", permuted(*in_order)), ("in order", in_order)):
            whole = pairs(np.arange(rows), *groups)
            ideal = np.array([ideal_pairs(number, rows, batch) for number in whole])
            line(name, "ideal", ideal, ideal, batch)
            for block in BLOCKS:
                found = [pairs(taken, *groups) for taken in batches(activations, batch, block)]
                line(name, str(block), np.mean(found, axis=0), ideal, batch)


def line(name: str, block: str, found: np.ndarray, ideal: np.ndarray, batch: int) -> None:
    """Print one row of the table."""
    cells = [f"{n:>8,.1f} {n / i:>5.1f}x" for n, i in zip(found, ideal, strict=True)]
    print(f"{name:>9} {block:>5} {'  '.join(cells)} {2 * found[0] / batch:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
