"""Activations on disk: chunks, journals, damage, statistics and the training stream. No torch."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from interpsweep.activations.artifact import (
    ARRAY,
    LEFT_OUT,
    SPLITS,
    Activations,
    chunk_file,
    create_array,
    to_float32,
)
from interpsweep.activations.reader import Stream
from interpsweep.activations.statistics import moments, spread, sums_of, write_statistics
from interpsweep.activations.writer import JOURNAL, Background, ChunkWriter
from interpsweep.blockmap import block_map
from interpsweep.errors import UserError
from interpsweep.models.batches import length_batches, windows
from interpsweep.tables import write_json

ROWS, WIDTH, CHUNK = 103, 6, 16
TRAIN = 71


def values(dtype: str = "float32") -> np.ndarray:
    """Rows that tell their number: row i is i, i + 0.5, ... in every format exactly."""
    exact = np.arange(ROWS)[:, None] + np.arange(WIDTH)[None] / 2
    if dtype == "bfloat16":  # up to 8 bits of mantissa
        return (np.arange(ROWS)[:, None] * np.ones(WIDTH)).astype(np.float32)
    return exact.astype(dtype)


def stored(dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        return (values(dtype).view(np.uint32) >> 16).astype(np.uint16)
    return values(dtype)


def fill(folder: Path, dtype: str = "float32", piece: int = 10) -> ChunkWriter:
    writer = ChunkWriter(folder, ROWS, WIDTH, CHUNK, dtype)
    for start in range(0, ROWS, piece):
        rows = np.arange(start, min(start + piece, ROWS))
        writer.put(rows, stored(dtype)[rows])
    return writer


def artifact(folder: Path, dtype: str = "float32") -> Activations:
    fill(folder, dtype).finish()
    splits = {"train": [0, TRAIN], "analysis": [TRAIN, 90], "eval": [90, ROWS]}
    write_json(splits, folder / SPLITS)
    return Activations.open(folder)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_is_written_is_read(tmp_path: Path, dtype: str) -> None:
    held = artifact(tmp_path, dtype)
    assert (held.shape, held.d_in, held.chunk_rows) == ((ROWS, WIDTH), WIDTH, CHUNK)
    assert np.array_equal(held.read(0, ROWS), values(dtype).astype(np.float32))
    assert np.array_equal(held.read(30, 33), values(dtype)[30:33].astype(np.float32))
    assert held.read(0, 5).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_chunks_are_the_bytes_that_zarr_itself_writes(tmp_path: Path, dtype: str) -> None:
    fill(tmp_path / "ours", dtype)
    theirs = create_array(tmp_path / "theirs" / ARRAY, ROWS, WIDTH, CHUNK, dtype)
    theirs[:] = stored(dtype)
    for chunk in range(-(-ROWS // CHUNK)):  # the last one is padded
        ours = chunk_file(tmp_path / "ours" / ARRAY, chunk).read_bytes()
        assert ours == chunk_file(tmp_path / "theirs" / ARRAY, chunk).read_bytes()


def test_a_chunk_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError), Background() as background:
        writer = ChunkWriter(tmp_path, ROWS, WIDTH, CHUNK, "float32", background)
        (tmp_path / ARRAY / "c").write_text("in the way of a folder")
        writer.put(np.arange(ROWS), values())
    assert not writer.done.any()
    with pytest.raises(ValueError, match="never filled"):
        writer.finish()


def test_pieces_of_a_split_never_cross_chunks(tmp_path: Path) -> None:
    held = artifact(tmp_path)
    assert held.chunks("train") == [(0, 16), (16, 32), (32, 48), (48, 64), (64, 71)]
    assert held.chunks("analysis") == [(71, 80), (80, 90)]


def test_bfloat16_bits() -> None:
    bits = np.array([0x3F80, 0xC000, 0x7FC0, 0x7F80], np.uint16)
    assert to_float32(bits[:2]).tolist() == [1.0, -2.0]
    assert np.isnan(to_float32(bits[2:3]))
    assert np.isinf(to_float32(bits[3:]))


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "zero"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    held = artifact(tmp_path, "float16")
    file = chunk_file(tmp_path / ARRAY, 2)
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[7] ^= 4
    elif damage == "zero":
        content[:] = bytes(len(content))
    file.write_bytes(content[: len(content) // 2] if damage == "truncate" else content)
    if damage == "delete":
        file.unlink()
    with pytest.raises(UserError):
        held.read(0, ROWS)  # of a reader that was open before
    with pytest.raises(UserError, match=r"chunk|rows"):
        Activations.open(tmp_path).read(32, 48)


@pytest.mark.parametrize("piece", [1, 7, 16, 50, 103])
def test_a_killed_writer_continues_to_the_same_files(tmp_path: Path, piece: int) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    fill(whole).finish()
    writer = ChunkWriter(broken, ROWS, WIDTH, CHUNK, "float32")
    for start in range(0, 60, piece):  # then the process dies
        rows = np.arange(start, min(start + piece, ROWS))
        writer.put(rows, values()[rows])
    before = {file: file.stat().st_mtime_ns for file in (broken / ARRAY / "c").rglob("0")}
    second = ChunkWriter(broken, ROWS, WIDTH, CHUNK, "float32")
    assert second.done.sum() == writer.done.sum()
    assert not second.needs(0, 16) or piece == 103
    assert second.needs(90, ROWS) or piece == 103
    for start in range(0, ROWS, 9):
        rows = np.arange(start, min(start + 9, ROWS))
        if second.needs(int(rows[0]), int(rows[-1]) + 1):
            second.put(rows, values()[rows])
    second.finish()
    for name, time in before.items():
        if name.parent.name in [str(i) for i in np.flatnonzero(writer.done)]:
            assert name.stat().st_mtime_ns == time  # finished chunks were left alone
    for file in whole.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (broken / file.relative_to(whole)).read_bytes()
    assert not (broken / JOURNAL).exists()


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "other", "journal"])
def test_a_resumed_writer_trusts_no_damaged_chunk(tmp_path: Path, damage: str) -> None:
    fill(tmp_path)
    file = chunk_file(tmp_path / ARRAY, 1)
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[3] ^= 1
    elif damage == "other":  # a sound chunk of something else
        content = bytearray(chunk_file(tmp_path / ARRAY, 2).read_bytes())
    elif damage == "journal":
        lines = (tmp_path / JOURNAL).read_text().splitlines(keepends=True)
        torn = [*lines[:1], *lines[2:-1], "nonsense\n", lines[-1][:4]]
        (tmp_path / JOURNAL).write_text("".join(torn))
    file.write_bytes(content[:-9] if damage == "truncate" else content)
    if damage == "delete":
        file.unlink()
    writer = ChunkWriter(tmp_path, ROWS, WIDTH, CHUNK, "float32")
    lost = {1, 6} if damage == "journal" else {1}
    assert set(np.flatnonzero(~writer.done)) == lost
    with pytest.raises(ValueError, match="never filled"):
        writer.finish()


# ----------------------------------------------------------------------------------- statistics


def nothing_left_out(folder: Path) -> Path:
    none = np.zeros(0, np.int64)
    save_file({"row": none, "token": none}, folder / LEFT_OUT)
    return folder


@pytest.mark.parametrize("engine", ["serial", "threads"])
def test_statistics_are_those_of_numpy(tmp_path: Path, engine: str) -> None:
    held = artifact(tmp_path)
    write_statistics(
        held,
        tmp_path,
        lambda f, blocks, what: block_map(f, blocks, engine=engine, workers=3),  # type: ignore[arg-type]
        limit=TRAIN,
    )
    found, rows = (
        Activations(tmp_path, [nothing_left_out(tmp_path)]).statistics,
        values()[:TRAIN].astype(np.float64),
    )
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.second_moment, rows.T @ rows / TRAIN, rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(rows.T, bias=True), rtol=1e-9)
    norms = np.linalg.norm(rows, axis=1)
    assert found.mean_norm == pytest.approx(norms.mean(), rel=1e-12)
    assert found.mean_squared_norm == pytest.approx((norms**2).mean(), rel=1e-12)


def test_statistics_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        moments([])
    with pytest.raises(ValueError, match="no rows"):
        moments([sums_of(np.empty((0, 3), np.float32))])


def test_a_limit_takes_whole_blocks_spread_evenly() -> None:
    blocks = [(i, i + 10) for i in range(0, 100, 10)]
    assert spread(blocks, 100) == blocks
    assert spread(blocks, 30) == [(0, 10), (40, 50), (90, 100)]
    assert spread(blocks, 1) == [(0, 10)]


# --------------------------------------------------------------------------------------- stream


@lru_cache(maxsize=1)
def shared() -> Activations:
    return artifact(Path(mkdtemp()))


def test_an_epoch_has_every_row_at_most_once() -> None:
    with Stream(shared(), "train", 9, seed=1, block_chunks=2) as stream:
        assert stream.steps_per_epoch == TRAIN // 9
        epochs = [
            np.concatenate([stream.batch(e * 7 + i)[:, 0] for i in range(7)]) for e in range(3)
        ]
    for rows in epochs:
        assert len(set(rows)) == 63
        assert set(rows) <= set(range(TRAIN))
    assert not np.array_equal(epochs[0], epochs[1])
    assert set().union(*map(set, epochs)) == set(range(TRAIN))  # what is left out differs


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=12),
    st.integers(1, TRAIN),
    st.integers(1, 6),
    st.integers(0, 3),
)
def test_a_batch_depends_on_its_step_alone(
    steps: list[int], batch_size: int, block_chunks: int, seed: int
) -> None:
    with Stream(shared(), "train", batch_size, seed, block_chunks) as wandering:
        for step in steps:
            found = wandering.batch(step)
            with Stream(shared(), "train", batch_size, seed, block_chunks) as fresh:
                fresh.seek(step)
                assert np.array_equal(found, fresh.batch(step))
            assert found.shape == (batch_size, WIDTH)


def test_seeds_and_splits_give_other_batches() -> None:
    with (
        Stream(shared(), "train", 20, seed=0, block_chunks=8) as one,
        Stream(shared(), "train", 20, seed=1, block_chunks=8) as two,
        Stream(shared(), "eval", 5, seed=0, block_chunks=8) as three,
    ):
        assert not np.array_equal(one.batch(0), two.batch(0))
        assert three.batch(0)[:, 0].min() >= 90


def test_memory_holds_few_blocks() -> None:
    with Stream(shared(), "train", 9, seed=0, block_chunks=1) as stream:
        for step in range(20):
            stream.batch(step)
            assert len(stream._held) <= 3


def test_a_split_smaller_than_a_batch_is_refused() -> None:
    with pytest.raises(UserError, match="fewer than one batch of 20"):
        Stream(shared(), "eval", 20, seed=0, block_chunks=8)


# -------------------------------------------------------------------------------------- batches

LENGTHS = st.lists(st.integers(0, 12), min_size=1, max_size=60)


@given(LENGTHS, st.integers(1, 50))
def test_batches_hold_every_context_once_and_one_length_each(lengths: list[int], n: int) -> None:
    given_lengths = np.array(lengths)
    batches = length_batches(given_lengths, n)
    taken = [int(i) for batch in batches for i in batch]
    assert sorted(taken) == list(np.flatnonzero(given_lengths))
    for batch in batches:
        assert len(set(given_lengths[batch])) == 1
        assert len(batch) * given_lengths[batch[0]] <= max(n, given_lengths[batch[0]])
        assert list(batch) == sorted(batch)


@given(LENGTHS, st.integers(1, 50))
def test_windows_cover_the_corpus(lengths: list[int], n: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    found = windows(offsets, n)
    assert found[0][0] == 0
    assert found[-1][1] == len(lengths)
    assert all(a[1] == b[0] for a, b in pairwise(found))
    assert all(offsets[c1] - offsets[c0] >= n for c0, c1 in found[:-1])
