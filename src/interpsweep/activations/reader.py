"""The training stream: shuffled batches as a pure function of (seed, step). No torch.

Per epoch the chunks of a split are permuted and taken `block_chunks` at a time; the rows of such a
block are permuted in memory, and batches are cut from the blocks laid end to end. The next block
is read by a thread while this one is used, so a trainer waits for the disk only at the start. As
documents were permuted before tokenisation, a block is a fair sample of documents; but it holds
each of them whole, so a batch has more rows of one document than a sample of all rows would: by
the factor of chunks over `block_chunks` (``benchmarks/mixing.py``).

The last rows of an epoch that do not fill a batch are left out; the permutation differs between
epochs, so they are others every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from types import TracebackType

import numpy as np

from interpsweep.activations.artifact import Activations, to_float32
from interpsweep.errors import UserError

_COMPARED_ROWS = 1 << 20  # rows whose tokens are compared at once
_Place = tuple[int, int]  # (epoch, block within it)


class Stream:
    """Batches of rows of one split.

    `batch(step)` gives the same rows whatever was asked before; asking for the steps in order is
    fast. Memory: at most three blocks of ``block_chunks * chunk_rows`` rows as stored. Use it as a
    context manager, or call `close`, to stop the reading thread.
    """

    def __init__(
        self,
        activations: Activations,
        split: str,
        batch_size: int,
        seed: int,
        block_chunks: int,
    ) -> None:
        self.activations, self.batch_size, self.seed = activations, batch_size, seed
        self._pieces = activations.chunks(split)
        self._block_chunks = block_chunks
        self.rows = sum(stop - start for start, stop in self._pieces)
        self.steps_per_epoch = self.rows // batch_size
        if self.steps_per_epoch == 0:
            raise UserError(
                f"{activations.path}: split {split!r} has {self.rows} rows, fewer than one batch "
                f"of {batch_size}; lower train.batch_size or take a larger corpus"
            )
        self._held: dict[_Place, Future[np.ndarray]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="activations")
        self._layout = lru_cache(maxsize=4)(self._epoch_layout)

    def batch(self, step: int) -> np.ndarray:
        """Batch number `step` (from 0): float32 (batch_size, d_in)."""
        return to_float32(self.raw_batch(step))

    def raw_batch(self, step: int) -> np.ndarray:
        """The same rows as stored (uint16 are the bits of bfloat16). Do not write into it."""
        parts = [self._block(place)[low:high] for place, low, high in self._parts(step)]
        self._prefetch(step)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def seek(self, step: int) -> None:
        """Say that `step` comes next: drops what is held and starts reading what it needs."""
        places = [place for place, _, _ in self._parts(step)]
        self._keep(places)
        for place in places:
            self._request(place)

    def close(self) -> None:
        """Stop the reading thread and let go of the blocks."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._held.clear()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------ the order

    def _epoch_layout(self, epoch: int) -> tuple[list[list[tuple[int, int]]], np.ndarray]:
        """The pieces of rows in each block of an epoch, and the row at which each block begins."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self._pieces))
        shuffled = [self._pieces[i] for i in order]
        size = self._block_chunks
        blocks = [shuffled[i : i + size] for i in range(0, len(shuffled), size)]
        lengths = [sum(stop - start for start, stop in block) for block in blocks]
        return blocks, np.concatenate([[0], np.cumsum(lengths)])

    def _parts(self, step: int) -> Iterator[tuple[_Place, int, int]]:
        """The stretches of permuted blocks that make up a batch."""
        epoch, within = divmod(step, self.steps_per_epoch)
        _, begins = self._layout(epoch)
        low, high = within * self.batch_size, (within + 1) * self.batch_size
        block = int(np.searchsorted(begins, low, "right")) - 1
        while low < high:
            end = min(high, int(begins[block + 1]))
            yield (epoch, block), low - int(begins[block]), end - int(begins[block])
            low, block = end, block + 1

    def _following(self, place: _Place) -> _Place:
        """The block that is needed after `place`."""
        epoch, block = place
        last_row = self.steps_per_epoch * self.batch_size
        begins = self._layout(epoch)[1]
        if block + 2 < len(begins) and begins[block + 1] < last_row:
            return epoch, block + 1
        return epoch + 1, 0

    # ------------------------------------------------------------------------------ the blocks

    def _prefetch(self, step: int) -> None:
        """Keep the blocks of `step` only, and have the thread read the one after them."""
        places = [place for place, _, _ in self._parts(step)]
        after = self._following(places[-1])
        self._keep([*places, after])
        self._request(after)

    def _keep(self, places: list[_Place]) -> None:
        for place in [held for held in self._held if held not in places]:
            self._held.pop(place).cancel()

    def _request(self, place: _Place) -> Future[np.ndarray]:
        if place not in self._held:
            self._held[place] = self._thread.submit(self._read, place)
        return self._held[place]

    def _block(self, place: _Place) -> np.ndarray:
        return self._request(place).result()

    def _read(self, place: _Place) -> np.ndarray:
        """The rows of a block, permuted."""
        epoch, block = place
        pieces = self._layout(epoch)[0][block]
        rows = np.concatenate([self.activations.raw(*piece) for piece in pieces])
        order = np.random.default_rng([self.seed, epoch, block + 1]).permutation(len(rows))
        return np.take(rows, order, axis=0)


def check_paired(first: Activations, second: Activations) -> None:
    """Raise UserError unless row i of both belongs to the same token, in the same chunks."""
    if (first.splits, first.shape[0]) != (second.splits, second.shape[0]):
        raise UserError(
            f"{first.path} and {second.path}: they are not of the same tokens (rows "
            f"{first.shape[0]} and {second.shape[0]}, splits {first.splits} and {second.splits}); "
            "capture both sites from one corpus"
        )
    if first.chunk_rows != second.chunk_rows:
        raise UserError(
            f"{first.path} and {second.path}: chunks of {first.chunk_rows} and "
            f"{second.chunk_rows} rows give other orders of the data; set the same "
            "capture.chunk_rows for both sites"
        )
    for start in range(0, first.shape[0], _COMPARED_ROWS):
        stop = min(start + _COMPARED_ROWS, first.shape[0])
        differ = np.flatnonzero(first.token(start, stop) != second.token(start, stop))
        if len(differ):
            raise UserError(
                f"{first.path} and {second.path}: row {start + int(differ[0])} belongs to another "
                "token; capture both sites from one corpus"
            )
