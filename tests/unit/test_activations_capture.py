"""Stage capture: the right rows, the same bytes after any interruption, errors that say where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from interpsweep.activations import capture
from interpsweep.activations.artifact import Activations
from interpsweep.activations.writer import ChunkWriter
from interpsweep.config.models import Architecture
from interpsweep.context import Context, Stopped
from interpsweep.corpora.artifact import Corpus
from interpsweep.errors import UserError
from interpsweep.models import forward, native
from interpsweep.models.load import load_model
from interpsweep.tables import write_json

SITES = ("hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_mlp_out")
WORDS, CONTEXTS = 30, 60


@dataclass
class Made:
    """What the runner hands to a bank stage."""

    digest: str
    spec: dict[str, Any]
    inputs: dict[str, Path]
    out: Path
    metrics: dict[str, Any] | None = None

    def publish(self, metrics: dict[str, Any]) -> None:
        self.metrics = metrics


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model and a corpus of contexts of 2 to 12 tokens, the first of each special."""
    folder = tmp_path_factory.mktemp("world")
    architecture = Architecture(n_layers=2, d_model=16, n_heads=2, d_mlp=32, n_ctx=12)
    config = native.native_config(architecture, WORDS, 0)
    native.save(native.build(config), config, ["w"] * WORDS, folder)
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 13, CONTEXTS)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    special = np.zeros(offsets[-1], np.uint8)
    special[offsets[:-1]] = 1
    special[rng.integers(0, offsets[-1], 5)] = 1  # and a few elsewhere, like [SEP]
    group = zarr.open_group(folder / "corpus" / "tokens.zarr", mode="w", zarr_format=3)
    group.create_array("tokens", data=rng.integers(0, WORDS, offsets[-1]).astype(np.int32))
    group.create_array("special", data=special)
    group.create_array("offsets", data=offsets)
    splits = {"train": [0, 40], "analysis": [40, 50], "eval": [50, CONTEXTS]}
    write_json({"splits": splits, "concepts": {}}, folder / "corpus" / "corpus.json")
    return {"model": folder, "corpus": folder / "corpus"}


def items(world: dict[str, Path], out: Path, sites: tuple[str, ...] = SITES, **other: Any) -> list:
    settings = {"chunk_rows": 32, "batch_tokens": 24, "window_tokens": 50, "dtype": "float32"}
    made = []
    for site in sites:
        (out / site).mkdir(parents=True, exist_ok=True)
        spec = {**settings, "model": {"source": "trained"}, "site": site, **other}
        made.append(Made(site, {"settings": spec, "inputs": {}}, world, out / site))
    return made


def files(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def alone(world: dict[str, Path], site: str) -> np.ndarray:
    """The rows of a site, one context at a time."""
    model, corpus = (
        load_model({"source": "trained"}, world["model"], Context()),
        Corpus.open(world["corpus"]),
    )
    rows = []
    for c in range(CONTEXTS):
        begin, end = int(corpus.offsets[c]), int(corpus.offsets[c + 1])
        tokens = torch.from_numpy(corpus.flat(begin, end).astype(np.int64))[None]
        found = forward.forward_sites(model, tokens, [site])[site][0].numpy()
        rows.append(found[corpus.special[begin:end] == 0])
    return np.concatenate(rows)


def test_rows_are_the_tokens_that_are_not_special_in_order(world: dict, tmp_path: Path) -> None:
    made = items(world, tmp_path)
    capture.run(made, Context())
    corpus = Corpus.open(world["corpus"])
    kept = np.flatnonzero(corpus.special == 0)
    for item in made:
        held = Activations.open(item.out)
        np.testing.assert_allclose(
            held.read(0, len(kept)), alone(world, item.digest), rtol=1e-4, atol=1e-5
        )
        assert np.array_equal(held.token(0, len(kept)), kept)
        contexts, positions = held.context(0, len(kept)), held.position(0, len(kept))
        assert np.array_equal(corpus.offsets[contexts] + positions, kept)
        first = int((corpus.special[: corpus.offsets[40]] == 0).sum())
        assert held.splits["train"] == (0, first)
        assert held.splits["eval"][1] == len(kept) == item.metrics["rows"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_formats_on_disk(world: dict, tmp_path: Path, dtype: str) -> None:
    (item,) = items(world, tmp_path, SITES[1:2], dtype=dtype)
    capture.run([item], Context())
    exact = alone(world, SITES[1])
    error = np.abs(Activations.open(item.out).read(0, len(exact)) - exact).max()
    assert error <= {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-5}[dtype]


class Killed(Exception):
    """Stands for a SIGKILL."""


def test_any_interruption_ends_in_the_same_bytes(
    world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture.run(items(world, tmp_path / "whole"), Context())
    write, written = ChunkWriter._write, []

    def dying(self: ChunkWriter, chunk: int, held: np.ndarray) -> None:
        write(self, chunk, held)
        written.append(chunk)
        if len(written) % 5 == 0:
            raise Killed

    monkeypatch.setattr(ChunkWriter, "_write", dying)
    made, attempts = items(world, tmp_path / "broken"), 0
    while missing := [item for item in made if item.metrics is None]:
        attempts += 1
        try:
            capture.run(missing[::-1] if attempts % 2 else missing, Context())
        except Killed:
            continue
    assert attempts > 5
    chunks = len(list((tmp_path / "whole").rglob("activations.zarr/c/*/0")))
    assert len(written) == chunks  # no chunk was ever written twice
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_the_sites_of_a_pass_do_not_change_each_other(world: dict, tmp_path: Path) -> None:
    capture.run(items(world, tmp_path / "together"), Context())
    for site in SITES:
        capture.run(items(world, tmp_path / "apart", (site,)), Context())
    assert files(tmp_path / "apart") == files(tmp_path / "together")


def test_finished_windows_are_not_computed_again(
    world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, ctx = items(world, tmp_path, SITES[:1]), Context()
    seen: list[int] = []
    real = capture.forward_sites

    def counting(model: Any, tokens: torch.Tensor, *args: Any) -> Any:
        seen.append(tokens.numel())
        ctx.stopping = sum(seen) > 250 and not first
        return real(model, tokens, *args)

    monkeypatch.setattr(capture, "forward_sites", counting)
    first: list[int] = []
    with pytest.raises(Stopped):
        capture.run(made, ctx)
    first, seen[:] = seen.copy(), []
    ctx.stopping = False
    capture.run(made, ctx)
    total = Corpus.open(world["corpus"]).n_tokens
    assert total < sum(first) + sum(seen) < total + 150  # at most the windows of two chunks again


def test_overflow_says_where(world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = capture.load_model

    def loud(*args: Any) -> Any:
        model = load(*args)
        with torch.no_grad():
            model.bridge.embed.weight[7] = 1e5
        return model

    monkeypatch.setattr(capture, "load_model", loud)
    corpus = Corpus.open(world["corpus"])
    flat = int(np.flatnonzero((corpus.flat(0, corpus.n_tokens) == 7) & (corpus.special == 0))[0])
    with pytest.raises(UserError, match=r"100000 does not fit into float16") as caught:
        capture.run(items(world, tmp_path / "a", SITES[:1], dtype="float16"), Context())
    assert "trained here, hook_embed, context" in str(caught.value)
    place = re.search(r"context (\d+), position (\d+)", str(caught.value))
    assert place is not None
    at = int(corpus.offsets[int(place[1])]) + int(place[2])
    assert corpus.flat(at, at + 1)[0] == 7
    assert at >= flat
    capture.run(items(world, tmp_path / "b", SITES[:1], dtype="bfloat16"), Context())


def test_nan_says_where(world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = capture.load_model

    def broken(*args: Any) -> Any:
        model = load(*args)
        with torch.no_grad():
            model.bridge.embed.weight[7] = float("nan")
        return model

    monkeypatch.setattr(capture, "load_model", broken)
    with pytest.raises(UserError, match=r"NaN or infinity \(trained here, hook_embed, context \d+"):
        capture.run(items(world, tmp_path, SITES[:1]), Context())


def test_out_of_memory_halves_the_batch(
    world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = capture.forward_sites

    def small(model: Any, tokens: torch.Tensor, *args: Any) -> Any:
        if len(tokens) > 2:
            raise torch.OutOfMemoryError("no room")
        return real(model, tokens, *args)

    capture.run(items(world, tmp_path / "plain", SITES[1:2]), Context())
    monkeypatch.setattr(capture, "forward_sites", small)
    ctx = Context()
    (item,) = items(world, tmp_path / "halved", SITES[1:2])
    capture.run([item], ctx)
    assert ctx.record_["batch_halvings"] >= 1
    plain, halved = Activations.open(tmp_path / "plain" / SITES[1]), Activations.open(item.out)
    np.testing.assert_allclose(
        halved.read(0, halved.shape[0]), plain.read(0, plain.shape[0]), rtol=1e-4, atol=1e-5
    )


def test_no_room_for_one_context_is_an_error(
    world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any) -> Any:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(capture, "forward_sites", never)
    with pytest.raises(UserError, match="not even one context"):
        capture.run(items(world, tmp_path, SITES[:1]), Context())


def test_bad_sites_and_foreign_corpora_are_refused(world: dict, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean"):
        capture.run(items(world, tmp_path, ("blocks.0.hook_resid_pots",)), Context())
    other = tmp_path / "model"
    other.mkdir()
    small = Architecture(n_layers=1, d_model=16, n_heads=2, d_mlp=32, n_ctx=12)
    config = native.native_config(small, 10, 0)
    native.save(native.build(config), config, ["w"] * 10, other)
    with pytest.raises(UserError, match="do not belong together"):
        capture.run(items({**world, "model": other}, tmp_path / "x", SITES[:1]), Context())
