"""Prose from books in Debian packages: what is read out of each format."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "prose.py"
LONG = "It was a long sentence about the weather in the valley, and nobody read it to the end."


@pytest.fixture
def prose() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prose", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serialised(lines: list[str]) -> bytes:
    """A character vector as R writes it into a data base."""
    data = b"X\n" + bytes.fromhex("0000000300040201000305000000000555") + b"TF-8"
    data += (16).to_bytes(4, "big") + len(lines).to_bytes(4, "big")
    for line in lines:
        text = line.encode()
        data += bytes.fromhex("00040009") + len(text).to_bytes(4, "big") + text
    return len(data).to_bytes(4, "big") + zlib.compress(data)


def test_novels_are_read_from_r(prose: ModuleType, tmp_path: Path) -> None:
    books = [
        ["EMMA", "", "CHAPTER I", "", "Emma, clever", "and rich.", "", "The end."],
        ["Dashwood é", ""],
    ]
    place = tmp_path / "library" / "data"
    place.mkdir(parents=True)
    (place / "Rdata.rdb").write_bytes(b"".join(serialised(book) for book in books))
    assert list(prose.novels(tmp_path)) == [
        ["EMMA", "CHAPTER I", "Emma, clever and rich.", "The end."],
        ["Dashwood é"],
    ]


def test_essays_are_paragraphs_of_pages(prose: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        f"<title>No sentence</title><p>{LONG} <i>Not</i> &amp; more of it.</p>menu<ul><li>x</ul><p>short</p>"
    )
    assert list(prose.essays(tmp_path)) == [[f"{LONG} Not & more of it."]]


def test_definitions_lose_their_marks(prose: ModuleType, tmp_path: Path) -> None:
    entry = (
        'Coagulate \\Co*ag"u*late\\, v. t. [imp. & p. p. {Coagulated}.]\n   1. To cause a liquid to\n'
        "   change into a {curd}, not by evaporation but by a reaction. --Shak.\n   [1913 Webster]\n"
        '\nZymogen \\Zy"mo*gen\\, n.\n   [1913 Webster]\n'
    )
    (tmp_path / "a.dict.dz").write_bytes(gzip.compress(entry.encode()))
    assert list(prose.definitions(tmp_path)) == [
        ["To cause a liquid to change into a curd , not by evaporation but by a reaction. --Shak."]
    ]


def test_documents_are_neighbours_and_no_copies(prose: ModuleType) -> None:
    paragraphs = [f"{LONG} This is number {i}." for i in range(100)]
    found = list(prose.documents(["CHAPTER I", *paragraphs, paragraphs[3]]))
    assert "\n".join(found).split("\n") == paragraphs
    assert all(prose.LENGTH <= len(text) < 2 * prose.LENGTH for text in found[:-1])


def test_every_book_is_written(
    prose: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(prose, "unpack", lambda package, folder: asked.append(package))
    monkeypatch.setattr(
        prose, "BOOKS", dict.fromkeys(prose.BOOKS, lambda folder: iter([[LONG] * 3]))
    )
    monkeypatch.setattr(sys, "argv", ["prose.py", str(tmp_path / "out")])
    prose.main()
    assert asked == ["r-cran-janeaustenr", "anarchism", "dict-gcide"]
    for package in asked:
        lines = (tmp_path / "out" / f"{package}.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == [{"text": LONG}]


def test_without_debian_the_remedy_is_text_of_your_own(
    prose: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"apt-get is not here: put text files of your own"):
        prose.unpack("anarchism", tmp_path)
