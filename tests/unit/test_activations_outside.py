"""Activations made elsewhere: each layout gives the same rows, and what does not fit is named."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file as save_torch

from interpsweep.activations.artifact import Activations
from interpsweep.activations.outside import capture_stored
from interpsweep.config.activations import CaptureItem
from interpsweep.context import Context
from interpsweep.corpora import build, stored_identity
from interpsweep.corpora.artifact import Corpus
from interpsweep.corpora.stored import Stored
from interpsweep.errors import UserError
from stored_activations import (
    LENGTH,
    OTHER,
    SITE,
    VOCABULARY,
    D,
    rows,
    shards,
    write_npy,
    write_saelens,
    write_safetensors,
)

Arrays = dict[str, np.ndarray]


def npy(folder: Path, arrays: Arrays) -> None:
    write_npy(folder, arrays)


def npy_shards(folder: Path, arrays: Arrays) -> None:
    for i, shard in enumerate(shards(arrays, 100, 203)):  # contexts go on in the next shard
        write_npy(folder / f"{i:03}", shard)


def safetensors(folder: Path, arrays: Arrays) -> None:
    for i, shard in enumerate(shards(arrays, 77)):
        write_safetensors(folder / f"{i}.safetensors", shard)


LAYOUTS: dict[str, Callable[[Path, Arrays], None]] = {
    "npy": npy, "npy shards": npy_shards, "safetensors": safetensors, "SAELens": write_saelens,
}  # fmt: skip


def made(folder: Path, out: Path, marks: list[int | str] | None = None, **corpus: Any) -> Path:
    """The corpus of a folder."""
    settings = {"source": "activations", "n_tokens": 10_000, "activations": "d", **corpus}
    ctx = Context(outside={"d": lambda: folder})
    out.mkdir()
    build.run({"settings": {**settings, "marks": marks or []}}, {}, out, ctx)
    return out


def captured(folder: Path, corpus: Path, out: Path, **capture: Any) -> Activations:
    settings = {"chunk_rows": 64, "dtype": "float32", "site": SITE, **capture}
    item = CaptureItem(**settings, model={"source": "activations", "content": "d"})
    out.mkdir()
    capture_stored(item, corpus, out, Context(outside={"d": lambda: folder}))
    return Activations.open(out)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_rows(layout: str, tmp_path: Path) -> None:
    arrays = rows()
    LAYOUTS[layout](tmp_path / "given", arrays)
    path = made(tmp_path / "given", tmp_path / "corpus", marks=[0])
    corpus, acts = Corpus.open(path), captured(tmp_path / "given", path, tmp_path / "acts")
    n = acts.shape[0]
    assert n == (arrays["tokens"] != 0).sum() and acts.d_in == D
    flat = acts.token(0, n)
    source = corpus.group["source"][:][flat]
    assert np.array_equal(acts.read(0, n), arrays[SITE][source])
    assert np.array_equal(acts.position(0, n), arrays["position"][source])
    assert np.array_equal(corpus.flat(0, corpus.n_tokens)[flat], arrays["tokens"][source])
    assert np.array_equal(np.sort(source), np.flatnonzero(arrays["tokens"]))
    assert set(corpus.splits) == {"train", "analysis", "eval"} == set(acts.splits)
    of_context = arrays["context"][source]
    assert (np.diff(of_context) != 0).sum() == (np.diff(acts.context(0, n)) != 0).sum()


def test_layouts_make_one_corpus(tmp_path: Path) -> None:
    found = set()
    for name, write in LAYOUTS.items():
        write(tmp_path / name, rows())
        path = made(tmp_path / name, tmp_path / f"corpus of {name}")
        corpus = Corpus.open(path)
        found.add((corpus.flat(0, corpus.n_tokens).tobytes(), json.dumps(corpus.meta)))
    assert len(found) == 1


def test_n_tokens_is_a_cap_and_splits_have_their_shares(tmp_path: Path) -> None:
    npy(tmp_path / "given", rows())
    corpus = Corpus.open(made(tmp_path / "given", tmp_path / "c", n_tokens=400, eval_share=0.1))
    assert corpus.n_tokens == 400
    sizes = {name: (b - a) * LENGTH for name, (a, b) in corpus.splits.items()}
    assert sizes == {"train": 280, "analysis": 80, "eval": 40}
    with pytest.raises(UserError, match="no context for the split"):
        made(tmp_path / "given", tmp_path / "d", n_tokens=100, eval_share=0.01)


def test_tokens_stand_at_their_positions_whatever_was_left_out(tmp_path: Path) -> None:
    arrays = rows()
    kept = (arrays["position"] > 1) & (arrays["position"] != 4)
    npy(tmp_path / "given", {name: array[kept] for name, array in arrays.items()})
    path = made(tmp_path / "given", tmp_path / "corpus")
    corpus, acts = Corpus.open(path), captured(tmp_path / "given", path, tmp_path / "acts")
    assert set(acts.position(0, acts.shape[0]).tolist()) == {2, 3, 5, 6, 7}
    assert acts.shape[0] == kept.sum()
    assert corpus.special.sum() == 3 * 60 and corpus.vocabulary[-1] == ""


def test_tokens_as_strings_and_vocabularies(tmp_path: Path) -> None:
    arrays = rows()
    words = np.array([f" w{i}" for i in arrays["tokens"]])
    npy(tmp_path / "words", {**arrays, "tokens": words})
    corpus = Corpus.open(made(tmp_path / "words", tmp_path / "a", marks=[" w0"]))
    assert corpus.special.sum() == 60
    assert set(corpus.vocabulary) == set(words.tolist())
    npy(tmp_path / "ids", arrays)
    assert Corpus.open(made(tmp_path / "ids", tmp_path / "b")).text(np.array([3, 7])) == "3 7"
    named = [f" n{i}" for i in range(VOCABULARY)]
    (tmp_path / "ids/vocabulary.json").write_text(json.dumps(named))
    assert Corpus.open(made(tmp_path / "ids", tmp_path / "c")).vocabulary == named
    (tmp_path / "ids/vocabulary.json").write_text(json.dumps(named[:9]))
    first = int(np.argmax(arrays["tokens"] >= 9))
    with pytest.raises(UserError, match=rf"ids: row {first}: token \d+ is not in the vocab.* of 9"):
        made(tmp_path / "ids", tmp_path / "d")


def test_a_tokenizer_in_the_folder_names_tokens_and_marks(tmp_path: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, models

    words = {f"w{i}": i for i in range(VOCABULARY)}
    fast = Tokenizer(models.WordLevel({**words, "<s>": VOCABULARY}, unk_token="w1"))
    fast.add_special_tokens([AddedToken("<s>", special=True)])
    arrays = rows()
    arrays["tokens"][arrays["tokens"] == 0] = VOCABULARY
    npy(tmp_path / "given", arrays)
    fast.save(str(tmp_path / "given/tokenizer.json"))
    corpus = Corpus.open(made(tmp_path / "given", tmp_path / "corpus"))
    assert corpus.special.sum() == 60 and corpus.vocabulary[VOCABULARY] == "<s>"


def test_bfloat16_is_read_exactly(tmp_path: Path) -> None:
    arrays = {name: torch.from_numpy(array) for name, array in rows().items()}
    exact = arrays[SITE].to(torch.bfloat16)
    (tmp_path / "given").mkdir()
    save_torch({**arrays, SITE: exact}, tmp_path / "given/0.safetensors")
    assert np.array_equal(Stored(tmp_path / "given").read(SITE, 3, 90), exact[3:90].float().numpy())


def test_the_digest_is_of_what_is_read(tmp_path: Path) -> None:
    npy(tmp_path / "given", rows())
    before = stored_identity.digest(tmp_path / "given")
    (tmp_path / "given/notes.txt").write_text("mine")
    assert stored_identity.digest(tmp_path / "given") == before
    npy(tmp_path / "given", rows(seed=1))
    assert stored_identity.digest(tmp_path / "given") != before
    assert stored_identity.about(tmp_path / "given")["widths"] == {SITE: D, OTHER: D}


# ---------------------------------------------------------------- what does not fit


def changed(**changes: Any) -> Arrays:
    return {name: a for name, a in {**rows(), **changes}.items() if a is not None}


def at(name: str, row: int, value: Any) -> Arrays:
    arrays = rows()
    arrays[name][row] = value
    return arrays


WRONG: dict[str, tuple[Arrays, str]] = {
    "no tokens": (changed(tokens=None), r"given: no `tokens`"),
    "no contexts": (changed(context=None), r"given: no `context`"),
    "no positions": (changed(position=None), r"given: no `position`"),
    "unequal": (changed(**{SITE: rows()[SITE][:99]}), r"post\.npy: `.*` has 99 rows, `tokens` has"),
    "short contexts": (changed(context=np.arange(9)), r"context\.npy: `context` has 9 rows"),
    "one axis": (changed(**{SITE: np.zeros(480)}), r"post\.npy: .*float64 \(480,\); .*\(rows, w"),
    "integers": (changed(**{SITE: np.zeros((480, 4), int)}), r"post\.npy: .*int64 \(480, 4\)"),
    "float tokens": (changed(tokens=np.zeros(480)), r"tokens\.npy: `tokens` is float64"),
    "no sites": (changed(**{SITE: None, OTHER: None}), "no activations beside the tokens"),
    "negative token": (at("tokens", 7, -2), r"given: row 7: token -2 is not in the vocabulary"),
    "context again": (at("context", 20, 0), r"given: row 20: context 0 comes a second time"),
    "position falls": (at("position", 13, 2), r"given: row 13: position 2 in context 1; .* rise"),
    "negative position": (at("position", 8, -1), r"given: row 8: position -1 in context 1"),
    "far position": (at("position", 15, 1 << 40), r"given: row 15: position 1099511627776"),
    "no rows": ({n: a[:0] for n, a in rows().items()}, "no rows"),
    "three contexts": ({n: a[:LENGTH] for n, a in rows().items()}, "no context for the split"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_arrays_that_do_not_fit_are_named_with_file_and_row(what: str, tmp_path: Path) -> None:
    arrays, said = WRONG[what]
    npy(tmp_path / "given", arrays)
    with pytest.raises(UserError, match=said) as found:
        made(tmp_path / "given", tmp_path / "corpus")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN or infinity"), (1e6, "float16")])
def test_numbers_that_cannot_be_kept_are_named(value: float, said: str, tmp_path: Path) -> None:
    arrays = at(SITE, 230, value)
    npy_shards(tmp_path / "given", arrays)
    path = made(tmp_path / "given", tmp_path / "corpus")
    with pytest.raises(UserError, match=rf"given/002: row 27: `{SITE}` holds .*{said}"):
        captured(tmp_path / "given", path, tmp_path / "acts", dtype="float16")


def test_a_site_that_is_not_there_is_named(tmp_path: Path) -> None:
    npy(tmp_path / "given", rows())
    path = made(tmp_path / "given", tmp_path / "corpus")
    with pytest.raises(UserError, match=r"no activations of hook_embed; there are \['blocks"):
        captured(tmp_path / "given", path, tmp_path / "acts", site="hook_embed")


def test_shards_that_differ_are_named(tmp_path: Path) -> None:
    first, second = shards(rows(), 200)
    write_npy(tmp_path / "given/0", first)
    write_npy(tmp_path / "given/1", {**second, SITE: second[SITE][:, :9]})
    with pytest.raises(UserError, match=rf"given/1: `{SITE}` has width 9, in .*/0 it has 16"):
        Stored(tmp_path / "given")
    (tmp_path / f"given/1/{SITE}.npy").unlink()
    with pytest.raises(UserError, match=rf"given/1: `{SITE}` has width none"):
        Stored(tmp_path / "given")
    write_npy(tmp_path / "given/1", {**second, "tokens": second["tokens"].astype(str)})
    with pytest.raises(UserError, match="strings in one shard and ids in another"):
        _ = Stored(tmp_path / "given").places


def damaged(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def objects(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, np.array([{}], object), allow_pickle=True)


def arrow(folder: Path) -> None:
    damaged(folder / "state.json", b"{}")
    damaged(folder / "data.arrow", b"\0" * 99)


HEADER = json.dumps(
    {"tokens": {"dtype": "I64", "shape": [1 << 40], "data_offsets": [0, 8]}}
).encode()
DAMAGED: dict[str, Callable[[Path], None]] = {
    "tokens.npy": lambda folder: damaged(folder / "tokens.npy", b"nothing"),
    "0.safetensors": lambda folder: damaged(folder / "0.safetensors", b"\xff" * 20),
    "1.safetensors": lambda folder: damaged(
        folder / "1.safetensors", struct.pack("<Q", len(HEADER)) + HEADER
    ),
    "2.safetensors": lambda folder: damaged(folder / "2.safetensors", b""),
    "data.arrow": lambda folder: arrow(folder),
    "pickled.npy": lambda folder: objects(folder / "pickled.npy"),
}  # fmt: skip


@pytest.mark.parametrize("file", DAMAGED)
def test_damaged_files_are_named(file: str, tmp_path: Path) -> None:
    DAMAGED[file](tmp_path / "given")
    with pytest.raises(UserError, match=rf"{file}: not a readable"):
        Stored(tmp_path / "given")


def test_folders_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no activations of a known layout"):
        stored_identity.digest(tmp_path / "empty")
    with pytest.raises(UserError, match="nowhere: no such folder"):
        stored_identity.digest(tmp_path / "nowhere")
    write_saelens(tmp_path / "old", rows(), without=["token_ids"], num_shards=1)
    with pytest.raises(UserError, match=r"arrow: no column `token_ids`"):
        Stored(tmp_path / "old")


def test_contexts_of_unequal_lengths_in_a_data_set(tmp_path: Path) -> None:
    from datasets import Dataset

    kept = {"token_ids": [[1, 2, 3], [1, 2]], SITE: np.zeros((2, 3, D)).tolist()}
    Dataset.from_dict(kept).save_to_disk(str(tmp_path / "given"))
    with pytest.raises(UserError, match=r"arrow: row 1: `token_ids` has 2 tokens; the first .* 3"):
        _ = Stored(tmp_path / "given").places
    kept = {"token_ids": [[1, 2], [1, 2]], SITE: [[[0.0] * D] * 2, [[0.0] * D, [0.0]]]}
    Dataset.from_dict(kept).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(UserError, match=rf"arrow: row 0: `{SITE}` has another width"):
        Stored(tmp_path / "other").read(SITE, 0, 4)


@pytest.mark.parametrize(("mark", "said"), [("<s>", "no token '<s>'"), (99, "no token 99")])
def test_marks_that_are_not_there(mark: Any, said: str, tmp_path: Path) -> None:
    npy(tmp_path / "given", rows())
    with pytest.raises(UserError, match=said):
        made(tmp_path / "given", tmp_path / "corpus", marks=[mark])
