"""Writing one site's activations chunk by chunk: a killed capture loses what is not yet whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import google_crc32c
import numpy as np

from interpsweep.activations.artifact import ARRAY, CHECKSUM_BYTES, chunk_file, create_array

JOURNAL = "chunks.journal"
WAITING = 2  # chunks that may be held for the thread that writes


class Background:
    """One thread that does what it is given in order; errors come out of a later `do` or `wait`.

    A context manager: at its end everything it was given is done, even after an error.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chunks")
        self._waiting: deque[Future[None]] = deque()

    def do(self, work: Callable[..., None], *arguments: Any) -> None:
        """Have the thread call `work`, once there is room for it."""
        while len(self._waiting) >= WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(work, *arguments))

    def wait(self) -> None:
        """Return when everything is done."""
        while self._waiting:
            self._waiting.popleft().result()

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True)
        if error is None:
            self.wait()


class ChunkWriter:
    """Collects rows until a chunk is whole, writes it, and remembers it in a journal.

    Each line of the journal is a chunk's number and its CRC32C. A chunk of an earlier attempt
    counts as done only if its file has the right size, its checksum is right, and the journal has
    the same one; anything else is written again.

    Zarr makes the array; its chunks are written here, in the form it prescribes (the numbers,
    little-endian, padded with the fill value, then their CRC32C), as its own way is many copies.
    """

    def __init__(
        self,
        folder: Path,
        rows: int,
        d_in: int,
        chunk_rows: int,
        dtype: str,
        background: Background | None = None,
    ) -> None:
        """With `background`, whole chunks are written by it; wait for it before `finish`."""
        self._path, self._journal = folder / ARRAY, folder / JOURNAL
        self._array = create_array(self._path, rows, d_in, chunk_rows, dtype)
        self.rows, self.chunk_rows = rows, self._array.chunks[0]
        self._shape, self._fill = self._array.chunks, self._array.fill_value
        self._dtype = np.dtype(self._array.dtype).newbyteorder("<")
        self._background = background
        self._open: dict[int, tuple[np.ndarray, int]] = {}  # chunk -> (rows, how many are there)
        self.done = np.zeros(-(-rows // self.chunk_rows), bool)
        for chunk, checksum in self._journalled().items():
            self.done[chunk] = self._sound(chunk, checksum)

    def needs(self, start: int, stop: int) -> bool:
        """Whether rows [start, stop) touch a chunk that is not done."""
        if start >= stop:
            return False
        return not self.done[start // self.chunk_rows : (stop - 1) // self.chunk_rows + 1].all()

    def put(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Take `values` (n, d_in) of ascending row numbers `rows` (n,); each row comes once."""
        chunks = range(int(rows[0]) // self.chunk_rows, int(rows[-1]) // self.chunk_rows + 1)
        ends = np.searchsorted(rows, np.array(chunks) * self.chunk_rows + self.chunk_rows).tolist()
        for chunk, low, high in zip(chunks, [0, *ends], ends, strict=False):
            if high > low and not self.done[chunk]:
                self._add(chunk, rows[low:high] - chunk * self.chunk_rows, values[low:high])

    def finish(self) -> None:
        """Check that nothing is missing, and remove the journal."""
        if not self.done.all():
            raise ValueError(f"chunks {np.flatnonzero(~self.done)[:8]} were never filled")
        self._journal.unlink(missing_ok=True)

    def _add(self, chunk: int, places: np.ndarray, values: np.ndarray) -> None:
        size = min(self.chunk_rows, self.rows - chunk * self.chunk_rows)
        held, count = self._open.get(chunk) or (self._empty(size), 0)
        held[places] = values
        count += len(places)
        if count < size:
            self._open[chunk] = (held, count)
            return
        self._open.pop(chunk, None)
        if self._background is None:
            self._write(chunk, held)
        else:
            self._background.do(self._write, chunk, held)

    def _empty(self, size: int) -> np.ndarray:
        """Room for a chunk of which `size` rows are in the array."""
        held = np.empty(self._shape, self._dtype)
        held[size:] = self._fill
        return held

    def _write(self, chunk: int, held: np.ndarray) -> None:
        checksum = google_crc32c.value(held).to_bytes(CHECKSUM_BYTES, "little")
        file = chunk_file(self._path, chunk)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as handle:  # torn if killed here, but then the journal lacks it
            handle.write(held.data)
            handle.write(checksum)
        with self._journal.open("a", encoding="ascii") as journal:
            journal.write(f"{chunk} {checksum.hex()}\n")
        self.done[chunk] = True

    def _journalled(self) -> dict[int, str]:
        try:
            lines = self._journal.read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        pairs = [line.split() for line in lines]
        return {
            int(pair[0]): pair[1]
            for pair in pairs
            if len(pair) == 2 and pair[0].isdigit() and int(pair[0]) < len(self.done)
        }

    def _sound(self, chunk: int, checksum: str) -> bool:
        try:
            content = chunk_file(self._path, chunk).read_bytes()
        except FileNotFoundError:
            return False
        body = memoryview(content)[:-CHECKSUM_BYTES]
        whole = self.chunk_rows * self._array.shape[1] * self._array.dtype.itemsize
        found = google_crc32c.value(bytes(body)).to_bytes(CHECKSUM_BYTES, "little").hex()
        return len(body) == whole and found == checksum == content[-CHECKSUM_BYTES:].hex()
