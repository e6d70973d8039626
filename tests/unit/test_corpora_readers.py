"""Whatever a file holds, a reader reads it by the stated policy or names the file and the row."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpora_place import made, make
from interpsweep.config.corpora import TextCorpus
from interpsweep.corpora import identity
from interpsweep.corpora.sources import docstrings, hub, text
from interpsweep.corpora.sources.document import mended, readable
from interpsweep.errors import UserError

FUZZ = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# any text at all, halves of surrogate pairs included
ANY = st.text(st.characters(codec=None) | st.characters(categories=["Cs"]), max_size=12)


def read(path: Path, unit: str = "line", column: str = "text") -> tuple[list[str], Counter[str]]:
    tally: Counter[str] = Counter()
    found = text.texts([(path, identity.format_of(path))], unit, column, 0)
    return [document.text for document in readable(found, tally)], tally


def packed(path: Path, data: bytes) -> Path:
    """The bytes in a file, packed as its name says."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data))
    elif path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as out:
            out.write(data)
    else:
        path.write_bytes(data)
    return path


def sound_or_named(path: Path, **options: str) -> None:
    """All documents can be encoded, or one line names the file and the place in it."""
    try:
        found, _ = read(path, **options)
    except UserError as error:
        message = str(error)
        assert message.startswith(f"{path}, ") and ("row " in message or "line " in message)
        assert "\n" not in message.removeprefix(str(path))
        return
    for document in found:
        assert document.strip()
        document.encode()


# ---------------------------------------------------------------- any bytes


@FUZZ
@given(st.binary(max_size=200), st.sampled_from(["file", "paragraph", "line"]))
def test_any_bytes_as_plain_text(tmp_path, data: bytes, unit: str) -> None:
    sound_or_named(packed(tmp_path / "a.txt", data), unit=unit)


@FUZZ
@given(
    st.binary(max_size=200), st.sampled_from(["a.jsonl", "a.parquet", "a.jsonl.gz", "a.txt.zst"])
)
def test_any_bytes_under_any_name(tmp_path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    sound_or_named(tmp_path / name)


@FUZZ
@given(
    st.lists(st.binary(max_size=30) | ANY.map(json.dumps).map(str.encode), max_size=6), st.data()
)
def test_any_lines_as_json(tmp_path, lines: list[bytes], data) -> None:
    path = tmp_path / data.draw(st.sampled_from(["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"]))
    whole = b"\n".join(b'{"text": %s}' % line for line in lines)
    sound_or_named(packed(path, whole))
    cut = path.read_bytes()[: data.draw(st.integers(0, path.stat().st_size))]
    path.write_bytes(cut)  # a download that broke off
    sound_or_named(path)


@FUZZ
@given(st.lists(st.none() | ANY, max_size=8))
def test_json_rows_are_all_there(tmp_path, rows: list[str | None]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": row}) for row in rows))
    found, tally = read(path)
    kept = [row for row in rows if row is not None and row.strip()]
    assert len(found) == len(kept)
    assert tally["null"] == rows.count(None)
    assert tally["null"] + tally["blank"] + len(found) == len(rows)
    assert tally["mended"] == sum(mended(json.loads(json.dumps(row))) != row for row in kept)


@FUZZ
@given(st.lists(st.none() | st.binary(max_size=12), max_size=8), st.booleans())
def test_parquet_rows_that_are_not_utf8(tmp_path, rows: list[bytes | None], honest: bool) -> None:
    column = pa.array(rows, pa.binary())
    if not honest:  # a writer that never looked
        column = pa.Array.from_buffers(pa.string(), len(column), column.buffers())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    sound_or_named(tmp_path / "a.parquet")


@FUZZ
@given(st.data())
def test_parquet_files_that_are_damaged(tmp_path, data) -> None:
    path = tmp_path / "a.parquet"
    rows = [f"row {i} " * 5 for i in range(40)]
    pq.write_table(pa.table({"text": rows}), path, compression="zstd", use_dictionary=False)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    else:  # a page's packed bytes: the footer is what pyarrow itself must be trusted with
        at = data.draw(st.integers(60, len(whole) // 2))
        whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    sound_or_named(path)


# ---------------------------------------------------------------- stated policies


def test_lone_surrogates_become_replacement_characters() -> None:
    assert mended("a\ud800b") == "a\ufffdb"
    assert mended("\ud83d\ude00") == "😀" and mended("\ude00\ud83d") == "\ufffd\ufffd"
    assert mended("\U0001f600 \u2028 \x00") == "\U0001f600 \u2028 \x00"


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst", "A.TXT"])
def test_packed_text_and_byte_order_marks(tmp_path, name: str) -> None:
    path = packed(tmp_path / name, "\ufeffone ☃\r\ntwo\rthree\n\n".encode())
    found, tally = read(path)
    assert found == ["one ☃", "two", "three"] and tally["blank"] == 1


def test_byte_order_marks_between_json_lines(tmp_path) -> None:
    path = packed(tmp_path / "a.jsonl", '\ufeff{"text": "a"}\n\ufeff{"text": "b"}\n'.encode())
    assert read(path)[0] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"one\ntwo \xe9\n", r"a\.txt, line 2: not UTF-8 text \(byte 0xe9\)"),
        ("a.txt", "one".encode("utf-16"), r"a\.txt, line 1: not UTF-8 text \(it looks like UTF-16"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}', r"a\.jsonl, row 2: not UTF-8 text"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl, row 1: not JSON"),
        ("a.jsonl", b'{"text": ' + b"1" * 5000 + b"}", r"a\.jsonl, row 1: not JSON"),
        ("a.jsonl", b'{"text": "a"}\n[1]', r"row 2: no field 'text'.*the row is no object"),
        ("a.jsonl", b'{\n "text": "one object in several lines"\n}', "row 1: not JSON"),
        ("a.jsonl", b'{"text": ["a"]}', r"row 1: field 'text' holds list"),
        ("a.jsonl.gz", b"{}", r"a\.jsonl\.gz, row 1: cannot be read .*pack it again"),
        ("a.txt.zst", b"{}", r"a\.txt\.zst, line 1: cannot be read .*pack it again"),
        ("a.parquet", b"PAR1", r"a\.parquet, row 1: cannot be read as Parquet"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        read(tmp_path / name)


def test_the_manifest_counts_what_was_left_out(tmp_path) -> None:
    rows = [{"text": f"line {i} of the text " * 8} for i in range(60)]
    rows[3], rows[7], rows[9] = {"text": None}, {"text": " "}, {"text": "a\ud800 " * 9}
    (tmp_path / "a.jsonl").write_text("\n".join([*map(json.dumps, rows), "null"]))
    corpus = TextCorpus(files=[str(tmp_path / "a.jsonl")], n_tokens=1500, eval_share=0.1)
    said = made(corpus, tmp_path / "out")
    assert said["rows"] == {"null": 2, "blank": 1, "mended": 1}


def test_a_hub_data_set_with_null_rows(tmp_path) -> None:
    rows = [{"text": "one"}, {"text": None}, {"text": "\ud800"}, {"text": "two"}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows[:2] + rows[3:])))
    found = list(hub.texts(str(tmp_path), None, None, "train", "text"))
    assert found == ["one", None, "two"]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    try:
        tally: Counter[str] = Counter()
        documents = list(readable(hub.texts(str(tmp_path), None, None, "train", "text"), tally))
        assert all(document.text.encode() for document in documents)
    except UserError as error:  # the library's own reader takes no lone surrogates
        assert "row " in str(error) and "data set" in str(error)


@FUZZ
@given(st.binary(max_size=120) | ANY.map(lambda t: f'"""{t}"""'.encode("utf-8", "replace")))
def test_any_bytes_as_a_module(tmp_path, data: bytes) -> None:
    (tmp_path / "m.py").write_bytes(data)
    for document in readable(docstrings.texts({"p": tmp_path}, 1, 0), Counter()):
        document.text.encode()


def test_modules_that_are_hostile(tmp_path) -> None:
    sentence = "A sentence of prose that is long enough to be kept here, \\ud800 and all."
    (tmp_path / "a.py").write_text(f'"""{sentence}"""\n')
    (tmp_path / "b.py").write_bytes(b"(" * 5000)
    (tmp_path / "c.py").write_bytes(b"x = 1\0")
    (tmp_path / "gone.py").symlink_to(tmp_path / "nothing")
    (documents,) = readable(docstrings.texts({"p": tmp_path}, 1, 0), Counter())
    assert "\ufffd and all" in documents.text
    assert identity.package_digest(tmp_path).startswith("sha256:")


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["[a].jsonl", "what?.jsonl", "all*.jsonl", "{x}.jsonl"])
def test_a_name_of_glob_characters_is_a_name(tmp_path, name: str) -> None:
    (tmp_path / name).write_text(
        "\n".join(json.dumps({"text": f"some text {i}"}) for i in range(99))
    )
    (tmp_path / "a.jsonl").write_text("{}")  # what a glob of the name would find as well
    assert identity.text_files(str(tmp_path / name)) == [tmp_path / name]
    settings_ = TextCorpus(files=[str(tmp_path / name)], n_tokens=200, eval_share=0.1)
    assert make(settings_, tmp_path / "out").n_tokens <= 200


def test_a_home_that_nobody_has(tmp_path) -> None:
    with pytest.raises(UserError, match="no file matches"):
        identity.text_files("~nobody-is-called-so/a.txt")


def test_packed_and_plain_files_of_one_text_are_one_corpus(tmp_path) -> None:
    rng = np.random.default_rng(0)
    lines = "\n".join(" ".join(rng.choice(["the", "old", "mill", "runs"], 9)) for _ in range(80))
    tokens = []
    for name in ("a.txt", "a.txt.gz", "a.txt.zst"):
        path = packed(tmp_path / name, lines.encode())
        settings_ = TextCorpus(files=[str(path)], documents="line", n_tokens=400)
        corpus = make(settings_, tmp_path / f"out-{name}")
        tokens.append(corpus.flat(0, corpus.n_tokens).tolist())
    assert tokens[0] == tokens[1] == tokens[2]
