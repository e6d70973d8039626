"""Writing one site's activations chunk by chunk: a killed capture loses what is not yet whole."""

from __future__ import annotations

from pathlib import Path

import google_crc32c
import numpy as np

from interpsweep.activations.artifact import ARRAY, CHECKSUM_BYTES, chunk_file, create_array

JOURNAL = "chunks.journal"


class ChunkWriter:
    """Collects rows until a chunk is whole, writes it, and remembers it in a journal.

    Each line of the journal is a chunk's number and its CRC32C. A chunk of an earlier attempt
    counts as done only if its file has the right size, its checksum is right, and the journal has
    the same one; anything else is written again.
    """

    def __init__(self, folder: Path, rows: int, d_in: int, chunk_rows: int, dtype: str) -> None:
        self._path, self._journal = folder / ARRAY, folder / JOURNAL
        self._array = create_array(self._path, rows, d_in, chunk_rows, dtype)
        self.rows, self.chunk_rows = rows, self._array.chunks[0]
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
        for chunk in range(int(rows[0]) // self.chunk_rows, int(rows[-1]) // self.chunk_rows + 1):
            first = chunk * self.chunk_rows
            low, high = np.searchsorted(rows, [first, first + self.chunk_rows])
            if high > low and not self.done[chunk]:
                self._add(chunk, rows[low:high] - first, values[low:high])

    def finish(self) -> None:
        """Check that nothing is missing, and remove the journal."""
        if not self.done.all():
            raise ValueError(f"chunks {np.flatnonzero(~self.done)[:8]} were never filled")
        self._journal.unlink(missing_ok=True)

    def _add(self, chunk: int, places: np.ndarray, values: np.ndarray) -> None:
        first = chunk * self.chunk_rows
        size = min(self.chunk_rows, self.rows - first)
        if chunk not in self._open:
            self._open[chunk] = (np.empty((size, values.shape[1]), self._array.dtype), 0)
        held, count = self._open[chunk]
        held[places] = values
        count += len(places)
        self._open[chunk] = (held, count)
        if count == size:
            self._write(chunk, held)

    def _write(self, chunk: int, held: np.ndarray) -> None:
        first = chunk * self.chunk_rows
        self._array[first : first + len(held)] = held
        with chunk_file(self._path, chunk).open("rb") as file:
            file.seek(-CHECKSUM_BYTES, 2)
            checksum = file.read(CHECKSUM_BYTES).hex()
        with self._journal.open("a", encoding="ascii") as journal:
            journal.write(f"{chunk} {checksum}\n")
        self.done[chunk] = True
        del self._open[chunk]

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
