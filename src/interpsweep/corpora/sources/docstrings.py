"""Docstrings of installed packages: prose that every Python environment has. Nothing is imported."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from interpsweep.corpora.identity import package_modules
from interpsweep.corpora.sources.document import Document

_LARGEST = 1 << 20  # bytes; longer modules are generated tables
_PROSE = re.compile(r"[A-Za-z ,.;:'\"()\-\n]")
_SENTENCE = re.compile(r"[A-Za-z]{2,}[^.!?]*[.!?:]")
_HOLDS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def documents(packages: dict[str, Path], min_characters: int, seed: int) -> Iterator[Document]:
    """Prose of the docstrings of `packages`; the order of the modules is shuffled by `seed`.

    Within a module the order is that of the lines; the shuffle starts from (package, module path)
    order, so the result does not depend on the order in which packages are named. A text that
    occurs again (inherited or copied docstrings) is left out, so no text is in two splits.
    """
    modules = [path for name in sorted(packages) for path in package_modules(packages[name])]
    seen: set[int] = set()
    for i in np.random.default_rng([seed, 2]).permutation(len(modules)):
        for text in docstrings(modules[i]):
            text = prose(text)
            if len(text) >= min_characters and hash_of(text) not in seen:
                seen.add(hash_of(text))
                yield Document(text)


def hash_of(text: str) -> int:
    """A 64-bit hash of a text, the same in every process."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def docstrings(path: Path) -> Iterator[str]:
    """Dedented docstrings of a module's source, by line; none if it is not plain Python."""
    if path.stat().st_size > _LARGEST:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    nodes = [node for node in ast.walk(tree) if isinstance(node, _HOLDS_DOCSTRING)]
    for node in sorted(nodes, key=lambda node: getattr(node, "lineno", 0)):
        if text := ast.get_docstring(node, clean=True):
            yield text


def prose(text: str) -> str:
    """The paragraphs of `text` that are sentences: no tables, code, doctests or field lists."""
    kept = []
    for paragraph in re.split(r"\n\s*\n", text):
        flat = " ".join(paragraph.split())
        if ">>>" in flat or len(flat.split()) < 6 or not _SENTENCE.search(flat):
            continue
        if len(_PROSE.findall(flat)) >= 0.93 * len(flat):
            kept.append(flat)
    return "\n".join(kept)
