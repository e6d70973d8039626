"""Real prose for sweeps over language models, from free books in Debian packages.

python scripts/prose.py              write texts/prose/*.jsonl
python scripts/prose.py FOLDER       or into another folder

Packages are fetched and unpacked, not installed, so this needs `apt-get` and `dpkg-deb` and no
root: six novels (r-cran-janeaustenr; public domain), essays (anarchism; GPL) and definitions with
quotations (dict-gcide; GPL). Without Debian, put text of your own into the folder: any `.txt`,
`.jsonl` or `.parquet`, which `files` of a corpus then names.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from interpsweep.corpora.sources.docstrings import prose

LENGTH = 4000  # characters of a document: paragraphs that follow each other, about 1,000 tokens
STRING = b"\x00\x04\x00\x09"  # flags of a string in R's binary format
HEAD = re.compile(
    r"^[^\\]*\\[^\\]*\\,?(?:\s+\([^)]*\),?)?(?:\s+(?:[a-z]+\.|&))*"
)  # a word, how it sounds
MARKS = re.compile(r"\[[^\]]*\]|[{}]|\d+\.\s|\([a-z]\)\s")  # sources, links, numbers of senses
PARAGRAPHS = ("p", "li", "blockquote", "dd")


def novels(folder: Path) -> Iterator[list[str]]:
    """Paragraphs of each novel, from the lines in an R data base of character vectors."""
    (base,) = folder.rglob("data/Rdata.rdb")
    for lines in vectors(base.read_bytes()):
        text = "\n".join(line.strip() for line in lines)
        yield [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]


def vectors(data: bytes) -> Iterator[list[str]]:
    """The character vectors of an R data base: a size and a zlib stream each."""
    while data:
        stream = zlib.decompressobj()
        yield strings(stream.decompress(data[4:]))
        data = stream.unused_data


def strings(data: bytes) -> list[str]:
    """The strings of one serialised character vector: flags, length, bytes."""
    found, at = [], data.index(STRING)
    while data[at : at + 4] == STRING:
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        found.append(data[at + 8 : at + 8 + size].decode("utf-8", "replace"))
        at += 8 + size
    return found


def essays(folder: Path) -> Iterator[list[str]]:
    """Paragraphs of each page of a book in HTML."""
    for page in sorted(folder.rglob("*.html")):
        reader = Paragraphs()
        reader.feed(page.read_text(encoding="utf-8", errors="replace"))
        yield sentences(reader.found)


class Paragraphs(HTMLParser):
    """The text of a page's paragraphs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = [""]

    def handle_starttag(self, tag: str, attrs: list) -> None:
        """A paragraph begins."""
        if tag in PARAGRAPHS:
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        """What follows it belongs to none."""
        if tag in PARAGRAPHS:
            self.found.append("")

    def handle_data(self, data: str) -> None:
        """More of it."""
        self.found[-1] += data


def definitions(folder: Path) -> Iterator[list[str]]:
    """Definitions and quotations of a dictionary, entry after entry; its marks are left out."""
    for book in sorted(folder.rglob("*.dict.dz")):
        text = gzip.decompress(book.read_bytes()).decode("utf-8", "replace")
        parts = re.split(r"\n\s*\n", text)
        yield sentences(MARKS.sub(" ", HEAD.sub("", part)) for part in parts)


def sentences(paragraphs: Iterable[str]) -> list[str]:
    """Those of the paragraphs that are sentences."""
    return [flat for paragraph in paragraphs for flat in prose(paragraph)]


def documents(paragraphs: Iterable[str]) -> Iterator[str]:
    """Paragraphs that follow each other, together, until they are long enough; no copies."""
    seen: set[str] = set()
    together = ""
    for paragraph in paragraphs:
        if len(paragraph) < 40 or paragraph in seen:  # headings, pages that say the same
            continue
        seen.add(paragraph)
        together = f"{together}\n{paragraph}" if together else paragraph
        if len(together) >= LENGTH:
            yield together
            together = ""
    if together:
        yield together


BOOKS: dict[str, Callable[[Path], Iterator[list[str]]]] = {
    "r-cran-janeaustenr": novels,
    "anarchism": essays,
    "dict-gcide": definitions,
}


def unpack(package: str, folder: Path) -> None:
    """Fetch a Debian package and unpack it into a folder. Exits with the remedy if it cannot."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not here: put text files of your own into the folder instead")
    fetch = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package]
    if subprocess.run(fetch, cwd=folder, check=False).returncode:
        sys.exit(f"{package}: apt-get cannot fetch it; try `apt-get update`, or text of your own")
    (archive,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)


def main() -> None:
    """Fetch, read and write every book."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("texts/prose"))
    out = parser.parse_args().folder
    out.mkdir(parents=True, exist_ok=True)
    for package, read in BOOKS.items():
        with tempfile.TemporaryDirectory() as folder:
            unpack(package, Path(folder))
            texts = [text for book in read(Path(folder)) for text in documents(book)]
        random.Random(0).shuffle(texts)  # a corpus that wants a part of them gets some of all
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (out / f"{package}.jsonl").write_text(lines, encoding="utf-8")
        size = sum(map(len, texts))
        print(f"{out / package}.jsonl: {len(texts):,} documents, {size / 1e6:.1f}M characters")


if __name__ == "__main__":
    main()
