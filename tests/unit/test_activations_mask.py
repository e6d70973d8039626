"""Masks: activations seen through them, what the stage leaves out, and what it reports."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix

from interpsweep.activations import mask
from interpsweep.activations.artifact import LEFT_OUT, Activations
from interpsweep.activations.reader import Stream
from interpsweep.config.mask import MaskSettings
from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.matching.sides import common
from interpsweep.saes.codes import CodesWriter
from interpsweep.tables import read_json, read_parquet, write_json
from saes_world import LENGTH, activations_like, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def held(world):
    return Activations.open(world["activations"])


def left_out(folder: Path, rows: np.ndarray, held: Activations) -> Path:
    """A mask that leaves out `rows`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.asarray(rows, np.int64)
    token = held.token(0, held.shape[0])[rows] if len(rows) else rows
    save_file({"row": rows, "token": token}, folder / LEFT_OUT)
    return folder


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_that_are_left_out_are_as_if_they_were_not_there(held, tmp_path_factory, data):
    rows = held.shape[0]
    masks = []
    for name in range(data.draw(st.integers(0, 2))):
        some = data.draw(st.sets(st.integers(0, rows - 1), max_size=rows // 2))
        folder = tmp_path_factory.mktemp("mask") / str(name)
        masks.append(left_out(folder, np.array(sorted(some), np.int64), held))
    gone = {int(row) for one in masks for row in load_file(one / LEFT_OUT)["row"]}
    kept = np.array([row for row in range(rows) if row not in gone])
    seen = Activations.open(held.path, masks)
    assert seen.shape == (len(kept), held.d_in)
    start = data.draw(st.integers(0, len(kept)))
    stop = data.draw(st.integers(start, len(kept)))
    mine = kept[start:stop]
    assert np.array_equal(seen.read(start, stop), held.read(0, rows)[mine])
    for column in ("token", "context", "position"):
        whole = getattr(held, column)(0, rows)
        assert np.array_equal(getattr(seen, column)(start, stop), whole[mine])
    assert np.array_equal(seen.as_captured(start, stop), mine)
    some = np.arange(start, stop, 7)
    assert np.array_equal(seen.read_at(some), held.read(0, rows)[kept[some]])
    for split, (first, last) in held.splits.items():
        inside = np.flatnonzero((kept >= first) & (kept < last))
        assert seen.splits[split][1] - seen.splits[split][0] == len(inside)
        pieces = seen.chunks(split)
        covered = [row for piece in pieces for row in range(*piece)]
        assert covered == inside.tolist()
        assert all(
            len({kept[r] // held.chunk_rows for r in range(*piece)}) == 1 for piece in pieces
        )


def test_a_stream_has_no_row_that_is_left_out(held, tmp_path):
    first, last = held.splits["train"]
    gone = np.arange(first, last, 3)
    seen = Activations.open(held.path, [left_out(tmp_path / "mask", gone, held)])
    with Stream(seen, "train", 32, 0, 2) as stream:
        given_ = np.concatenate([stream.batch(step) for step in range(stream.steps_per_epoch)])
    bad = {row.tobytes() for row in held.read(first, last)[gone - first]}
    assert len(given_) and not bad & {row.tobytes() for row in given_}


def test_codes_of_two_sites_meet_on_the_rows_that_both_use(held, tmp_path):
    """Codes that say which row they are of; what is left is what both masks leave."""
    first, last = held.splits["analysis"]
    gone = [np.arange(2, held.shape[0], 5), np.arange(0, held.shape[0], 7)]
    masks = [left_out(tmp_path / f"mask{i}", rows, held) for i, rows in enumerate(gone)]
    both = Activations.open(held.path, masks)
    expected = np.setdiff1d(np.arange(first, last), np.concatenate(gone))
    for i in (0, 1):
        own = Activations.open(held.path, [masks[i]])
        rows = own.as_captured(*own.splits["analysis"])
        codes = csr_matrix((rows[:, None] + [[0, 0.5]]).astype(np.float32))
        folder = tmp_path / f"codes{i}"
        folder.mkdir()
        writer = CodesWriter(folder, own.splits["analysis"], 2, [codes.nnz], 0)
        writer.append(codes, own.token(*own.splits["analysis"]))
        writer.close()
        met = common(folder, [masks[i]], both)
        assert met.n_rows == len(expected) and met.rows == both.splits["analysis"]
        assert np.array_equal(met.read(0, met.n_rows).toarray()[:, 0], expected)
        assert np.array_equal(met.read(3, 9).toarray()[:, 1], expected[3:9] + np.float32(0.5))
        pieces = [row for piece in met.chunks() for row in range(*piece)]
        assert pieces == list(range(met.n_rows))


# ----------------------------------------------------------------------------------- the stage


OUTLIERS = 3  # contexts of the analysis split with a massive row, at position 5
TIMES = 100.0


@pytest.fixture(scope="module")
def spiked(world, held, tmp_path_factory):
    """Activations with a massive row in every first position after the mark, and in some places."""
    x = world["x"].copy()
    usual = np.linalg.norm(x, axis=1)
    position = held.position(0, len(x))
    x[position == 1] *= 40
    first, last = held.splits["analysis"]
    massive = np.flatnonzero((position == 5) & (np.arange(len(x)) >= first))[:OUTLIERS]
    x[massive] = 0
    x[massive, 2] = TIMES * np.median(usual[first:last])
    folder = tmp_path_factory.mktemp("spiked") / "activations"
    activations_like(world["activations"], folder, x, "blocks.0.hook")
    (folder / "manifest.json").unlink()
    causal(folder, True)
    return {**world, "activations": folder, "x": x, "massive": massive, "position": position}


def causal(folder: Path, value: bool) -> None:
    write_json({"spec": {"settings": {}}, "metrics": {"causal": value}}, folder / "manifest.json")


def made(spiked, out: Path, **given_) -> dict:
    out.mkdir(exist_ok=True)
    inputs = {role: spiked[role] for role in ("activations", "corpus")}
    spec = {"settings": MaskSettings(**given_).identity()}
    return mask.run(spec, inputs, out, Context(engine="serial"))


def test_massive_rows_of_a_language_model_are_left_out_by_default(spiked, tmp_path):
    summary = made(spiked, tmp_path / "mask", positions=2)
    gone = load_file(tmp_path / "mask" / LEFT_OUT)
    expected = (spiked["position"] <= 1) | np.isin(np.arange(len(spiked["x"])), spiked["massive"])
    assert np.array_equal(gone["row"], np.flatnonzero(expected))
    assert np.array_equal(gone["reason"][np.isin(gone["row"], spiked["massive"])], [4] * OUTLIERS)
    assert set(gone["reason"]) == {1 | 4, 4}
    assert (
        summary["left_out"]
        == len(gone["row"])
        == sum(summary[f"left_out_{split}"] for split in ("train", "analysis", "eval"))
    )
    assert summary["left_out_by_norm"] == len(gone["row"]) == summary["left_out_by_position"] + 3
    seen = Activations(spiked["activations"], [tmp_path / "mask"])
    rows = seen.read(*seen.splits["train"]).astype(np.float64)
    np.testing.assert_allclose(seen.statistics.mean, rows.mean(0), rtol=1e-10)
    np.testing.assert_allclose(
        seen.statistics.second_moment, rows.T @ rows / len(rows), rtol=1e-9, atol=1e-12
    )


def test_massive_rows_are_reported_whether_they_are_left_out_or_not(spiked, tmp_path):
    first, last = Activations(spiked["activations"]).splits["analysis"]
    squares = (spiked["x"][first:last].astype(np.float64) ** 2).sum(1)
    ratio = np.sqrt(squares) / np.median(np.sqrt(squares))
    for name, given_ in (("out", {"norm": 10}), ("in", {"positions": 0, "norm": None})):
        made(spiked, tmp_path / name, **given_)
        table = read_parquet(tmp_path / name / "massive.parquet").set_index(["by", "part"])
        massive = table.loc[("norm", "> 10 x the median")]
        assert massive["rows"] == (ratio > 10).sum()
        assert massive["second_moment"] == pytest.approx(squares[ratio > 10].sum() / squares.sum())
        spot = table.loc[("position", "5")]
        assert spot["rows"] == OUTLIERS
        share = squares[spiked["massive"] - first].sum() / squares.sum()
        assert spot["second_moment"] == pytest.approx(share, rel=0.01)
        norms = read_parquet(tmp_path / name / "norms.parquet")
        assert norms["rows"].sum() == last - first
        assert norms["second_moment"].sum() == pytest.approx(1)
    assert norms["left_out"].sum() == 0
    assert read_json(tmp_path / "in" / "summary.json")["left_out"] == 0
    dimension = table.loc["dimension"].iloc[0]
    variance = spiked["x"][first:last].astype(np.float64).var(axis=0)
    assert dimension.name == str(variance.argmax())
    assert dimension["second_moment"] == pytest.approx(variance.max() / variance.sum())


def test_other_models_keep_all_rows_unless_told(spiked, tmp_path):
    encoder = {**spiked, "activations": tmp_path / "encoder"}
    shutil.copytree(spiked["activations"], encoder["activations"])
    causal(encoder["activations"], False)
    assert made(encoder, tmp_path / "none")["left_out"] == 0
    assert made(encoder, tmp_path / "some", norm=10)["left_out"] > OUTLIERS


def test_tokens_are_left_out_by_text_or_id(spiked, tmp_path):
    ids = spiked["ids"][spiked["flat"]]
    for name, tokens in (("text", (" w3", " w5")), ("id", (3, 5))):
        made(spiked, tmp_path / name, positions=0, norm=None, tokens=tokens)
        gone = load_file(tmp_path / name / LEFT_OUT)
        assert np.array_equal(gone["row"], np.flatnonzero(np.isin(ids, [3, 5])))
        assert set(gone["reason"]) == {2}


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"tokens": (" w33",)}, "' w33' is not one token of the vocabulary"),
        ({"tokens": (99,)}, "the vocabulary has 30 tokens"),
        ({"positions": LENGTH}, "nothing is left of the .* rows of the .* split"),
    ],
)
def test_what_cannot_be_is_said(spiked, tmp_path, given_, message):
    with pytest.raises(UserError, match=message):
        made(spiked, tmp_path / "mask", **given_)
