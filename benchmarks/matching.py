"""What matching two dictionaries costs: cosines against the bare product, co-firing and its memory.

    python benchmarks/matching.py cosines [--width 16384] [--d-in 384] [--faiss PYTHON]
    python benchmarks/matching.py firings [--width 65536] [--rows 100000] [--k 32]
    python benchmarks/matching.py complexes [--width 24576] [--rows 200000] [--simplex 3]

`cosines` compares random unit directions with the 8 nearest both ways and all pairs from .3 up, in
units of the bare product of the same blocks (``np.matmul`` alone), and of faiss' exact flat index
(`IndexFlatIP`, one way only) in an environment of its own, whose interpreter is given. `firings`
counts everything about the candidate pairs of two synthetic TopK dictionaries, made up row by row
so that no input is held, and prints CPU seconds by part and the peak of resident memory, of which
mapped files are a part that the system may drop.
`complexes` takes a second layer each of whose latents fires wherever one
of a few random latents of the first does, finds these again, and measures the topology of the
complex with a few draws of its null. Times are CPU seconds; set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from interpsweep.config.analysis import ComplexesSettings, MatchSettings
from interpsweep.geometry.layer_complex import joined, measure
from interpsweep.matching.match import match
from interpsweep.matching.sides import Side
from interpsweep.matching.vertices import vertices
from interpsweep.numerics.cosine import COLUMNS, compare, nearest, unit_rows
from interpsweep.saes.firing import Firing, firing_statistics
from interpsweep.saes.postings import Postings

BLOCK = MatchSettings().block
CHUNK = 8192
DOCUMENT = 500  # rows
FAISS = """
import sys, time, numpy as np, faiss
faiss.omp_set_num_threads(1)
a, b = np.load(sys.argv[1]), np.load(sys.argv[2])
index = faiss.IndexFlatIP(a.shape[1]); index.add(b); index.search(a[:256], 8)
began = time.process_time(); index.search(a, 8); print(time.process_time() - began)
"""


def seconds(work: Callable[[], Any], rounds: int = 2) -> float:
    """CPU seconds of one call: the best round."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def bare(a: np.ndarray, b: np.ndarray) -> None:
    """The product of all blocks, thrown away."""
    out = np.empty((BLOCK, COLUMNS), np.float32)
    for i in range(0, len(a), BLOCK):
        for j in range(0, len(b), COLUMNS):
            left, right = a[i : i + BLOCK], b[j : j + COLUMNS]
            np.matmul(left, right.T, out=out[: len(left), : len(right)])


def cosines(width: int, d_in: int, faiss: str | None) -> None:
    """Print the table of the cosines."""
    rng = np.random.default_rng(0)
    a, b = (unit_rows(rng.standard_normal((width, d_in), dtype=np.float32)) for _ in range(2))
    compare(a[:256], b[:256], 8, 0.3)  # compile
    product = seconds(lambda: bare(a, b))
    flops = 2 * width * width * d_in
    print(f"{width:,} x {width:,} directions of {d_in} numbers, CPU seconds")
    print(f"bare product            {product:8.2f}  1.00   ({flops / product / 1e9:.0f} GFLOP/s)")
    for name, work in (
        ("8 nearest, one way", lambda: nearest(a, b, 8, BLOCK)),
        ("both ways, pairs >= .3", lambda: compare(a, b, 8, 0.3, BLOCK)),
    ):
        took = seconds(work)
        print(f"{name:<23} {took:8.2f}  {took / product:.2f}")
    if faiss:
        with tempfile.TemporaryDirectory() as folder:
            files = [f"{folder}/{name}.npy" for name in "ab"]
            for file, rows in zip(files, (a, b), strict=True):
                np.save(file, rows)
            out = subprocess.run([faiss, "-c", FAISS, *files], capture_output=True, check=True)
        took = float(out.stdout)
        print(f"faiss, 8 nearest        {took:8.2f}  {took / product:.2f}")


class Made:
    """Codes that fire k latents a row, with frequencies after Zipf; made when they are read."""

    def __init__(self, rows: int, width: int, k: int, seed: int) -> None:
        self.n_rows, self.d_sae, self.k, self.seed, self.rows = rows, width, k, seed, (0, rows)

    def chunks(self) -> list[tuple[int, int]]:
        """Pieces of the rows."""
        return [(s, min(s + CHUNK, self.n_rows)) for s in range(0, self.n_rows, CHUNK)]

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Codes of rows [start, stop)."""
        first = start - start % CHUNK
        rng = np.random.default_rng([self.seed, first])
        # the rank of a latent drawn with weight 1 / sqrt(rank), distinct within a row by its slot
        share = self.d_sae // self.k
        rank = (rng.random((CHUNK, self.k)) ** 2 * share).astype(np.int64)
        columns = rank + share * np.arange(self.k)
        values = rng.exponential(1.0, (CHUNK, self.k)).astype(np.float32) + np.float32(0.1)
        rows = slice(start - first, stop - first)
        n = stop - start
        indptr = np.arange(0, n * self.k + 1, self.k)
        parts = (values[rows].ravel(), columns[rows].ravel(), indptr)
        return sp.csr_matrix(parts, (n, self.d_sae))

    @property
    def peaks(self) -> np.ndarray:
        """Largest activation of each latent."""
        most = np.zeros(self.d_sae)
        for start, stop in self.chunks():
            block = self.read(start, stop)
            np.maximum.at(most, block.indices, block.data)
        return most


class Noise:
    """Activations of random numbers."""

    def __init__(self, d_in: int) -> None:
        self.d_in = d_in

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop)."""
        rng = np.random.default_rng([7, start])
        return rng.standard_normal((stop - start, self.d_in), dtype=np.float32)


class Timed:
    """A context that maps in order and adds up the time of every part."""

    def __init__(self) -> None:
        self.took: dict[str, float] = {}

    def block_map(self, function: Callable, blocks: Any, what: str = "") -> Iterator[Any]:
        """Results in the order of the blocks."""
        for block in blocks:
            began = time.process_time()
            result = function(block)
            self.took[what] = self.took.get(what, 0.0) + time.process_time() - began
            yield result


def memory() -> dict[str, float]:
    """MB of resident memory: the peak of all, and now by kind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {n: int(found[n].split()[0]) / 1024 for n in ("VmHWM", "RssAnon", "RssFile")}


def side(codes: Made, d_in: int, ctx: Timed) -> Side:
    """A dictionary of random directions with these codes."""
    rng = np.random.default_rng(codes.seed)
    reader = Firing.above(codes, MatchSettings().firing_level)
    count, mean = firing_statistics(reader, ctx.block_map)
    decoder = unit_rows(rng.standard_normal((codes.d_sae, d_in), dtype=np.float32))
    return Side(decoder, decoder, np.zeros(d_in, np.float32), reader, count, mean)


def firings(width: int, rows: int, k: int, d_in: int, draws: int) -> None:
    """Print what a whole match of two dictionaries costs."""
    ctx, began = Timed(), time.process_time()
    a, b = (side(Made(rows, width, k, seed), d_in, ctx) for seed in (1, 2))
    documents = (np.arange(rows) // DOCUMENT).astype(np.int32)
    settings = MatchSettings(null_draws=draws)
    edges, _, summary = match(a, b, Noise(d_in), 0, settings, ctx, documents)
    fired = int(a.count.sum())
    print(
        f"{width:,} latents a side, {rows:,} rows, k {k}, {fired:,} firings, {len(edges):,} pairs"
    )
    for what, took in ctx.took.items():
        print(f"{what:<16} {took:8.1f} s")
    print(f"{'all':<16} {time.process_time() - began:8.1f} s")
    print({name: round(size) for name, size in memory().items()}, "MB", summary["mcc"] or "")


class Joining:
    """Codes of a next layer whose latents each fire where one of `corners` random ones does."""

    def __init__(self, below: Made, corners: int) -> None:
        self.below, self.n_rows, self.d_sae = below, below.n_rows, below.d_sae
        rng = np.random.default_rng(3)
        to = np.concatenate([rng.permutation(self.d_sae) for _ in range(corners)])
        at = np.tile(np.arange(self.d_sae), corners)
        self.joins = sp.csr_matrix((np.ones(len(to), np.float32), (at, to)), 2 * (self.d_sae,))

    def chunks(self) -> list[tuple[int, int]]:
        """Pieces of the rows."""
        return self.below.chunks()

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Codes of rows [start, stop)."""
        made = sp.csr_matrix(self.below.read(start, stop) @ self.joins)
        made.sort_indices()
        return made


def layers(width: int, rows: int, k: int, corners: int) -> None:
    """Print what the complex of two layers costs."""
    ctx, draws = Timed(), 10
    below = Made(rows, width, k, 1)
    documents = (np.arange(rows) // DOCUMENT).astype(np.int32)
    with tempfile.TemporaryDirectory() as folder:
        written = []
        for name, codes in (("a", below), ("b", Joining(below, corners))):
            firing = Firing(codes, np.zeros(width))
            count, _ = firing_statistics(firing, ctx.block_map)
            written.append(Postings.write(firing, count, Path(folder) / name))
        began = time.process_time()
        table = vertices(*written, documents, MatchSettings().vertex_firings, ctx.block_map)
        print(f"{width:,} latents a side, {rows:,} rows, k {k} and {k * corners}")
        print(f"{'corners':<16} {time.process_time() - began:8.1f} s")
    simplices, _ = joined(table, corners, ComplexesSettings().simplex_npmi)
    rng = np.random.default_rng(0)
    measure(simplices[:100], 1, rng)  # compile
    began = time.process_time()
    facts = measure(simplices, draws, rng)
    took = (time.process_time() - began) / (1 + draws)
    print(f"{'topology, a draw':<16} {took:8.3f} s")
    print({n: int(facts[n]) for n in ("simplices", "vertices", "triangles", "b0", "b1", "b2")})


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "what",
        choices=("cosines", "firings", "complexes"),
        nargs="?",
        default="cosines",
    )
    parser.add_argument("--width", type=int, default=16384)
    parser.add_argument("--d-in", type=int, default=384)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--null-draws", type=int, default=39)
    parser.add_argument("--simplex", type=int, default=ComplexesSettings().simplex)
    parser.add_argument("--faiss", help="an interpreter that has faiss-cpu")
    options = parser.parse_args()
    if options.what == "cosines":
        cosines(options.width, options.d_in, options.faiss)
    elif options.what == "complexes":
        layers(options.width, options.rows, options.k, options.simplex)
    else:
        firings(options.width, options.rows, options.k, options.d_in, options.null_draws)


if __name__ == "__main__":
    main()
