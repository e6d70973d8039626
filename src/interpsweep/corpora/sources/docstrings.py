"""Docstrings of installed packages: prose that every environment has. Nothing is imported."""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from interpsweep.corpora.identity import package_modules
from interpsweep.errors import UserError

_LARGEST = 1 << 20  # bytes; longer modules are generated tables
_PROSE = re.compile(r"[A-Za-z0-9 ,.;:'\"`()\-\n]")
# doctests, headings, directives, lists of fields in the styles of numpy, Sphinx and Google
_NOT_PROSE = re.compile(
    r">>>|---|===|\.\. |:param|\w+ : [\w{]"
    r"|\b(?:Args|Arguments|Returns|Raises|Yields|Attributes): \w"
)
_SENTENCE = re.compile(r"[A-Za-z]{2,}[^.!?]*[.!?:]")
_BLOCKS = ("body", "handlers", "orelse", "finalbody")
_HOLDS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def texts(packages: dict[str, Path], min_characters: int, seed: int) -> Iterator[str]:
    """Prose of the docstrings of `packages`; the order of the modules is shuffled by `seed`.

    Within a module the order is that of the lines; the shuffle starts from (package, module path)
    order, so the result does not depend on the order in which packages are named. A paragraph that
    occurs again (inherited or copied docstrings) is left out, so none is in two splits.
    """
    modules = [path for name in sorted(packages) for path in package_modules(packages[name])]
    seen: set[bytes] = set()
    for i in np.random.default_rng([seed, 2]).permutation(len(modules)):
        for docstring in docstrings(modules[i]):
            new = [text for text in prose(docstring) if not _known(text, seen)]
            if sum(map(len, new)) >= min_characters:
                yield "\n".join(new)


def _known(text: str, seen: set[bytes]) -> bool:
    """Whether a text of this hash was seen before; it is from now on."""
    key = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    known = key in seen
    seen.add(key)
    return known


def docstrings(path: Path) -> Iterator[str]:
    """Dedented docstrings of a module's source, by line; none if it is not plain Python."""
    try:
        if path.stat().st_size > _LARGEST:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what would be compiled
            tree = ast.parse(path.read_bytes())
    except OSError as error:
        raise UserError(f"corpus.packages: cannot read {path}: {error.strerror}") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last: nested too deep
        return
    yield from _within(tree)


def _within(node: ast.AST) -> Iterator[str]:
    """Docstrings of a node and of the definitions in it, in order; expressions are not entered."""
    if isinstance(node, _HOLDS_DOCSTRING) and (text := ast.get_docstring(node, clean=True)):
        yield text
    for block in _BLOCKS:
        for statement in getattr(node, block, ()):
            if isinstance(statement, ast.stmt | ast.ExceptHandler):
                yield from _within(statement)


def prose(text: str) -> list[str]:
    """The paragraphs of `text` that are sentences: no tables, code, doctests or parameter lists."""
    kept = []
    for paragraph in re.split(r"\n\s*\n", text):
        flat = " ".join(paragraph.split())
        if _NOT_PROSE.search(flat) or len(flat.split()) < 6 or not _SENTENCE.search(flat):
            continue
        if len(_PROSE.findall(flat)) >= 0.93 * len(flat):
            kept.append(flat)
    return kept
