"""What a corpus takes from outside, and the content digests of it: used by `interpsweep lock`.

No torch, no numpy. A *reference* is one outside input as a string: ``text:FILE``,
``package:NAME`` or ``dataset:REPO@REVISION``. A *listing* is what stands for several:
``files:PATTERN``, or ``packages:`` for all that are installed. The lock keeps what a listing stood
for, so that a sweep can be planned when its files are gone.
"""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import json
import os
import pkgutil
import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from interpsweep.config.corpora import CorpusSettings
from interpsweep.errors import UserError, nearest
from interpsweep.store.outside import hash_outside

DATA = Path(__file__).parent / "data"  # the shipped template lists
FRAME = "frame.yaml"  # what is around the sentences of all of them
FORMATS = ("txt", "txt.gz", "txt.zst", "jsonl", "jsonl.gz", "jsonl.zst", "parquet")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BORROWED = re.compile(r"^sentences_of: (\w+)$", re.MULTILINE)


def listings(corpus: CorpusSettings) -> list[str]:
    """Every listing that a corpus has, sorted."""
    return sorted({name for part in parts(corpus) for name in _listings(part)})


def _listings(part: Any) -> list[str]:
    if part.source == "text":
        return [f"files:{pattern}" for pattern in part.files]
    return ["packages:"] if part.source == "docstrings" and not part.packages else []


def listed(listing: str) -> str:
    """The references that a listing stands for now, as the lock keeps them."""
    kind, _, pattern = listing.partition(":")
    if kind == "packages":
        return json.dumps([f"package:{name}" for name in installed_packages()])
    return json.dumps([f"text:{path}" for path in text_files(pattern)])


def references(corpus: CorpusSettings, lock: Mapping[str, str]) -> list[str]:
    """Every outside input of a corpus, sorted; `lock` knows its listings."""
    return sorted({name for part in parts(corpus) for name in _references(part, lock)})


def parts(corpus: CorpusSettings) -> tuple[Any, ...]:
    """The sources of a corpus: itself, or the parts of a mix."""
    return corpus.parts if corpus.source == "mix" else (corpus,)


def _references(part: Any, lock: Mapping[str, str]) -> list[str]:
    found = [name for listing in _listings(part) for name in json.loads(lock[listing])]
    if part.source == "docstrings":
        found += [f"package:{name}" for name in part.packages]
    if part.source == "datasets":
        found.append(f"dataset:{part.repo}@{part.revision}")
    return found


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


def content(corpus: CorpusSettings, lock: Mapping[str, str]) -> dict[str, Any]:
    """What a spec says of a corpus's outside inputs: digests, never paths.

    `lock`: listing -> references, and reference -> digest, for all of the corpus.
    """
    if corpus.source == "mix":
        return {"parts": [_content(part, lock) for part in corpus.parts]}
    return _content(corpus, lock)


def _content(part: Any, lock: Mapping[str, str]) -> dict[str, Any]:
    if part.source == "text":
        files = {(lock[r], format_of(Path(r))) for r in _references(part, lock)}
        return {"files": [{"digest": d, "format": form} for d, form in sorted(files)]}
    if part.source == "docstrings":
        return {"packages": {r.partition(":")[2]: lock[r] for r in _references(part, lock)}}
    if part.source == "datasets":
        return {"commit": lock[_references(part, lock)[0]]}
    if part.source == "templates":
        return {"lists": folder_digest(DATA, _lists(part.slots))}
    return {}


# ---------------------------------------------------------------- files


def text_files(pattern: str) -> list[Path]:
    """The files that a path or a glob (of the working directory) stands for, sorted.

    A file that is called so is meant, whatever its name has of a glob.
    """
    pattern = os.path.expanduser(pattern)
    if os.path.isfile(pattern):
        matches = [Path(pattern)]
    else:
        matches = [Path(name) for name in glob.glob(pattern, recursive=True)]
        matches = sorted(path for path in matches if path.is_file())
    if not matches:
        raise UserError(f"corpus.files: no file matches {pattern!r}")
    for path in matches:
        format_of(path)
    return matches


def format_of(path: Path) -> str:
    """Which of `FORMATS` the name of a file says. Raises UserError for another one."""
    for form in FORMATS:
        if path.name.lower().endswith(f".{form}"):
            return form
    raise UserError(
        f"corpus.files: {path} is not one of {', '.join(f'.{form}' for form in FORMATS)}; convert "
        "or rename it, or narrow the pattern"
    )


def file_digest(path: Path) -> str:
    """``sha256:...`` of a file's bytes."""
    try:
        return "sha256:" + hash_outside(path)
    except OSError as error:
        raise UserError(f"corpus: cannot read {path}: {error.strerror}") from error


def folder_digest(folder: Path, files: Iterable[Path]) -> str:
    """``sha256:...`` over the (relative name, SHA-256) of some files of a folder, sorted."""
    sha = hashlib.sha256()
    for path in sorted(files):
        digest = file_digest(path).removeprefix("sha256:")
        name = os.fsencode(path.relative_to(folder).as_posix())  # which need not be UTF-8
        sha.update(name + f"\0{digest}\n".encode())
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


def _lists(wanted: Iterable[str]) -> set[Path]:
    """The files that sentences with these slots are made of; what borrows sentences needs two."""
    own = slot_files(wanted).values()
    borrowed = [name for file in own for name in _BORROWED.findall(file.read_text("utf-8"))]
    return {DATA / FRAME, *own, *(DATA / f"{name}.yaml" for name in borrowed)}


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
    found = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    yield from (module for module in found if module.is_file())  # a link may lead nowhere


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
