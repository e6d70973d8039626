"""What a corpus takes from outside, and the content digests of it: used by `interpsweep lock`.

No torch, no numpy. A *reference* is one outside input as a string: ``text:FILE``,
``package:NAME`` or ``dataset:REPO@REVISION``.
"""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import pkgutil
import re
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from interpsweep.config.corpora import CorpusSettings
from interpsweep.errors import UserError, nearest
from interpsweep.store.outside import hash_outside

DATA = Path(__file__).parent / "data"  # the shipped template lists
FRAME = "frame.yaml"  # what is around the sentences of all of them
FORMATS = ("txt", "jsonl", "parquet")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def references(corpus: CorpusSettings) -> list[str]:
    """Every outside input of a corpus, sorted; globs and "every package" written out."""
    return sorted({name for part in parts(corpus) for name in _references(part)})


def parts(corpus: CorpusSettings) -> tuple[Any, ...]:
    """The sources of a corpus: itself, or the parts of a mix."""
    return corpus.parts if corpus.source == "mix" else (corpus,)


def _references(part: Any) -> list[str]:
    if part.source == "text":
        return [f"text:{path}" for path in text_files(part.files)]
    if part.source == "docstrings":
        return [f"package:{name}" for name in part.packages or installed_packages()]
    if part.source == "datasets":
        return [f"dataset:{part.repo}@{part.revision}"]
    return []


def resolve(reference: str) -> str:
    """The content digest of an outside input; for a data set the commit of its revision."""
    kind, _, name = reference.partition(":")
    if kind == "text":
        return file_digest(locate(reference))
    if kind == "package":
        return package_digest(locate(reference))
    if kind == "dataset":
        repo, _, revision = name.rpartition("@")
        return dataset_commit(repo, revision)
    raise UserError(f"{reference}: not the name of an outside input")


def locate(reference: str) -> Path:
    """The file or folder behind a ``text:`` or ``package:`` reference."""
    kind, _, name = reference.partition(":")
    return package_path(name) if kind == "package" else Path(name)


def content(corpus: CorpusSettings, digests: dict[str, str]) -> dict[str, Any]:
    """What a spec says of a corpus's outside inputs: digests, never paths.

    `digests`: reference -> digest, for every one of `references(corpus)`.
    """
    if corpus.source == "mix":
        return {"parts": [_content(part, digests) for part in corpus.parts]}
    return _content(corpus, digests)


def _content(part: Any, digests: dict[str, str]) -> dict[str, Any]:
    if part.source == "text":
        files = {(digests[r], r.rpartition(".")[2]) for r in _references(part)}
        return {"files": [{"digest": d, "format": suffix} for d, suffix in sorted(files)]}
    if part.source == "docstrings":
        return {"packages": {r.partition(":")[2]: digests[r] for r in _references(part)}}
    if part.source == "datasets":
        return {"commit": digests[_references(part)[0]]}
    if part.source == "templates":
        slot_files(part.slots)  # a slot that is none is told before anything is made
        return {"lists": folder_digest(DATA, DATA.glob("*.yaml"))}
    return {}


# ---------------------------------------------------------------- files


def text_files(patterns: Iterable[str]) -> list[Path]:
    """The files that paths and globs (of the working directory) stand for, sorted, each once."""
    found: set[Path] = set()
    for pattern in patterns:
        matches = [
            Path(name) for name in glob.glob(str(Path(pattern).expanduser()), recursive=True)
        ]
        matches = [path for path in matches if path.is_file()]
        if not matches:
            raise UserError(f"corpus.files: no file matches {pattern!r}")
        for path in matches:
            if path.suffix.removeprefix(".") not in FORMATS:
                raise UserError(
                    f"corpus.files: {path} is not one of .txt, .jsonl, .parquet; rename it or "
                    "narrow the pattern"
                )
        found.update(matches)
    return sorted(found)


def file_digest(path: Path) -> str:
    """``sha256:...`` of a file's bytes."""
    try:
        return "sha256:" + hash_outside(path)
    except OSError as error:
        raise UserError(f"corpus.files: cannot read {path}: {error.strerror}") from error


def folder_digest(folder: Path, files: Iterable[Path]) -> str:
    """``sha256:...`` over the (relative name, SHA-256) of some files of a folder, sorted."""
    sha = hashlib.sha256()
    for path in sorted(files):
        sha.update(f"{path.relative_to(folder).as_posix()}\0{hash_outside(path)}\n".encode())
    return "sha256:" + sha.hexdigest()


def slot_files(wanted: Iterable[str] = ()) -> dict[str, Path]:
    """The shipped lists of the slots called `wanted` (none: all), in the order of their names."""
    files = {path.stem: path for path in sorted(DATA.glob("*.yaml")) if path.name != FRAME}
    wanted = set(wanted or files)
    for name in sorted(wanted - files.keys()):
        raise UserError(
            f"corpus.slots: no slot {name!r}{nearest(name, files)}; there are: {', '.join(files)}"
        )
    return {name: path for name, path in files.items() if name in wanted}


# ---------------------------------------------------------------- packages


def installed_packages() -> list[str]:
    """Names of the packages (folders with code) installed in this environment, sorted."""
    roots = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return sorted({m.name for m in pkgutil.iter_modules(sorted(roots)) if m.ispkg})


def package_path(name: str) -> Path:
    """Folder (or single file) of an installed package, found without importing it."""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not (spec.submodule_search_locations or spec.origin):
        close = nearest(name, installed_packages())
        raise UserError(f"corpus.packages: no package {name!r} is installed here{close}")
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(str(spec.origin))


def package_modules(path: Path) -> Iterator[Path]:
    """Source files of a package, in a stable order."""
    yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def package_digest(path: Path) -> str:
    """``sha256:...`` over the source files of a package."""
    root = path if path.is_dir() else path.parent
    return folder_digest(root, package_modules(path))


# ---------------------------------------------------------------- hub


def dataset_commit(repo: str, revision: str) -> str:
    """The commit (40 hex digits) that `revision` of a hub data set stands for."""
    if _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    remedy = "give the 40-digit commit as corpus.revision, or run `interpsweep lock` with network"
    if HF_HUB_OFFLINE:
        raise UserError(f"data set {repo}@{revision}: cannot be looked up offline; {remedy}")
    try:
        return str(HfApi().dataset_info(repo, revision=revision).sha)
    except (HfHubHTTPError, HFValidationError) as error:
        raise UserError(f"data set {repo}@{revision}: the hub refuses it ({error})") from error
    except (OSError, HTTPError) as error:
        raise UserError(f"data set {repo}@{revision}: no network; {remedy}") from error
