"""Hashes of outside files are kept only while nothing about the file changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interpsweep.store import Store, outside
from interpsweep.store.manifest import hash_file


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read, in order."""
    found: list[Path] = []

    def spy(path: Path) -> str:
        found.append(path)
        return hash_file(path)

    monkeypatch.setattr(outside, "hash_file", spy)
    monkeypatch.setattr(outside, "LARGE", 4)
    monkeypatch.setattr(outside, "SETTLED", -1.0)
    return found


def test_a_large_file_is_read_once(tmp_path: Path, read: list[Path]) -> None:
    file, store = tmp_path / "weights", Store(tmp_path / "store")
    file.write_text("many bytes")
    assert {outside.hash_outside(file, store) for _ in range(3)} == {hash_file(file)}
    assert read == [file]


def test_other_bytes_of_one_size_and_time_are_noticed(tmp_path: Path, read: list[Path]) -> None:
    file, store = tmp_path / "weights", Store(tmp_path / "store")
    file.write_text("many bytes")
    times = file.stat()
    before = outside.hash_outside(file, store)
    file.write_text("MANY bytes")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert outside.hash_outside(file, store) == hash_file(file) != before


def test_small_files_and_recent_ones_are_always_read(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, recent, store = tmp_path / "small", tmp_path / "recent", Store(tmp_path / "store")
    small.write_text("abc")
    recent.write_text("many bytes")
    monkeypatch.setattr(outside, "SETTLED", 60.0)
    for file in (small, recent) * 2:
        outside.hash_outside(file, store)
    assert read == [small, recent, small, recent]


def test_a_torn_record_is_no_record(tmp_path: Path, read: list[Path]) -> None:
    file, store = tmp_path / "weights", Store(tmp_path / "store")
    file.write_text("many bytes")
    outside.hash_outside(file, store)
    for record in (store.root / ".hashes").iterdir():
        record.write_text("{")
    assert outside.hash_outside(file, store) == hash_file(file)
    assert len(read) == 2
