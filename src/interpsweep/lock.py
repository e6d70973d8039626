"""The lock: content digests of everything that comes from outside.

`interpsweep lock` writes ``<config>.lock.json`` beside the config; planning reads only that file,
so a text file that changes under a sweep is noticed and named, and never silently mixed in.

An outside input is written as one reference: ``checkpoint:<path>``, ``hub:<repo>@<revision>``,
``text:<path>``, ``package:<name>``, ``dataset:<repo>@<revision>``, ``sae:<path>``,
``sae-hub:<repo>@<revision>``, ``activations:<path>``. What the files of an imported SAE say about
it is kept too, under
``about:<format>:<content>/<path>`` (sites and widths of activations under
``about:activations:<content>``), and which files a pattern stood for, under ``files:<pattern>``
(``packages:`` for "all that are installed").
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from interpsweep.config.imports import ImportedSAE, ImportSettings
from interpsweep.config.models import (
    ActivationsModel,
    HubModel,
    PathModel,
    is_gguf,
    model_identity,
)
from interpsweep.config.sites import MODELLESS
from interpsweep.config.sweep import Sweep
from interpsweep.corpora import identity as corpora
from interpsweep.corpora import stored_identity as stored
from interpsweep.errors import UserError
from interpsweep.models import identity as models
from interpsweep.saes.formats import about, files
from interpsweep.spec import canonical_json
from interpsweep.store.layout import write_atomic

Lock = dict[str, str]  # reference -> content digest, or commit
_TOLD = ("about:", "files:", "packages:")  # entries that name no content


def lock_path(config: Path) -> Path:
    """The lock file that belongs to a config file."""
    return config.with_suffix(".lock.json")


def read_lock(path: Path) -> Lock:
    """Read a lock file; an absent one is empty."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["inputs"])
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise UserError(f"{path}: not a lock file; delete it and run `interpsweep lock`") from None


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock file, sorted, so that it reads well under version control."""
    text = json.dumps({"inputs": lock, "version": 1}, sort_keys=True, indent=2)
    write_atomic(path, text + "\n")


def complete(sweep: Sweep, lock: Lock, fresh: bool = False) -> Lock:
    """The lock with every outside input of `sweep`; known ones are looked up again if `fresh`."""
    known = {} if fresh else lock
    found = {name: _listed(name, known) for name in _listings(sweep)}
    for name in references(sweep, found):
        found[name] = known[name] if name in known else _first(name)
    for model in sweep.models:
        if isinstance(model, PathModel):
            models.check_pin(model.name, found[_model_reference(model)], model.sha256)
        if isinstance(model, ActivationsModel):
            name = f"about:activations:{found[_model_reference(model)]}"
            found[name] = known.get(name) or canonical_json(stored.about(Path(model.path)))
    for sae in _imports(sweep):
        name = _about(sae, found)
        if name not in found:
            found[name] = known.get(name) or canonical_json(_look(sae, found[_sae_reference(sae)]))
    return found


def _first(reference: str) -> str:
    """Resolve what is not locked yet. Raises UserError for a GGUF file that cannot be read here."""
    kind, _, name = reference.partition(":")
    if kind == "checkpoint" and is_gguf(name):
        from interpsweep.models import gguf

        gguf.look(models.resolve_path(name))
    return resolve(reference)


def _listings(sweep: Sweep) -> list[str]:
    """Every pattern of files and the like that the sweep uses, sorted."""
    found = [corpora.listings(sweep.sections(model.name).corpus) for model in sweep.models]
    return sorted({name for names in found for name in names})


def _listed(listing: str, known: Lock) -> str:
    """What a listing stood for when it was locked; files that match it since then are named."""
    if listing not in known:
        return corpora.listed(listing)
    if listing.startswith("files:"):
        try:
            more = set(json.loads(corpora.listed(listing))) - set(json.loads(known[listing]))
        except UserError:  # they may be gone once they were used
            more = set()
        if more:
            print(
                f"interpsweep: corpus.files {listing.partition(':')[2]!r}: {len(more)} files match "
                f"that are not in the lock ({min(more)}, ...); `interpsweep lock` takes them in",
                file=sys.stderr,
            )
    return known[listing]


def references(sweep: Sweep, lock: Lock) -> list[str]:
    """Every outside input that the sweep uses, sorted; `lock` knows its listings."""
    found = set()
    for model in sweep.models:
        if isinstance(model, PathModel | HubModel | ActivationsModel):
            found.add(_model_reference(model))
        found |= set(corpora.references(sweep.sections(model.name).corpus, lock))
    found |= {_sae_reference(sae) for sae in _imports(sweep)}
    return sorted(found)


def _imports(sweep: Sweep) -> list[ImportedSAE]:
    return [sae for model in sweep.models for sae in model.all_imports]


def _sae_reference(sae: ImportedSAE) -> str:
    return f"sae-hub:{sae.repo}@{sae.revision}" if sae.repo else f"sae:{sae.path}"


def _about(sae: ImportedSAE, lock: Lock) -> str:
    content = _locked(_sae_reference(sae), lock)
    return f"about:{sae.format}:{content}/{sae.path}"  # Gemma Scope's paths speak too


def _look(sae: ImportedSAE, content: str) -> dict[str, Any]:
    """What the files of an SAE say; for one of the hub its configuration is fetched."""
    if sae.repo is None:
        found, name = files.local_files(models.resolve_path(sae.path)), sae.path
    else:
        found = files.hub_files(sae.repo, content, sae.path, network=True)
        name = f"{sae.repo}/{sae.path}"
    return about.look(found, sae.format, name)


def _model_reference(model: PathModel | HubModel | ActivationsModel) -> str:
    if isinstance(model, PathModel):
        return f"checkpoint:{model.path}"
    if isinstance(model, ActivationsModel):
        return f"activations:{model.path}"
    return f"hub:{model.repo}@{model.revision}"


def resolve(reference: str) -> str:
    """Look at an outside input: its content digest, or the commit of a hub repository."""
    kind, _, name = reference.partition(":")
    if kind == "checkpoint":
        return models.weights_digest(models.resolve_path(name))
    if kind in ("hub", "sae-hub"):
        repo, _, revision = name.rpartition("@")
        only = " --include 'FOLDER/*'  (each SAE's `path`)" if kind == "sae-hub" else ""
        return models.hub_commit(repo, revision, only)
    if kind == "activations":
        return stored.digest(Path(name))
    if kind == "sae":
        return files.content_digest(models.resolve_path(name))
    return corpora.resolve(reference)


def model_of(model: Any, lock: Lock) -> dict[str, Any]:
    """Identity of a model, as capture and evaluate see it."""
    if model.source in ("trained", "world"):
        return model_identity(model)
    content = _locked(_model_reference(model), lock)
    return model_identity(model, weights=content, commit=content)


def weights_to_convert(model: Any, lock: Lock) -> str | None:
    """Digest of the GGUF file that a checkpoint is to be made of; None for any other model."""
    is_one = isinstance(model, PathModel) and is_gguf(model.path)
    return _locked(_model_reference(model), lock) if is_one else None


def model_folder(model: PathModel | HubModel, lock: Lock) -> Path | None:
    """The files of a model from outside, for a look that may find none; nothing is fetched."""
    found: Path | None
    if isinstance(model, PathModel):
        found = models.resolve_path(model.path)
    else:
        found = models.cached(model.repo, _locked(_model_reference(model), lock))
    there = found is not None and (found / "tokenizer.json").is_file()
    return found if there else None


def tokenizer_of(model: Any, lock: Lock) -> dict[str, Any] | None:
    """Identity of the tokenizer that turns text into a model's tokens; None if text is none."""
    if model.source in ("trained", *MODELLESS):
        return None
    if weights_to_convert(model, lock):
        return {"source": "model"}
    content = _locked(_model_reference(model), lock)
    if model.source == "path":
        return {"source": "path", "files": content}
    return {"source": "hub", "repo": model.repo, "commit": content}


def content_of(corpus: Any, lock: Lock) -> Any:
    """Identity of the outside inputs of a corpus: their content digests, without any paths."""
    for name in corpora.listings(corpus):
        _locked(name, lock)
    for name in corpora.references(corpus, lock):
        _locked(name, lock)
    return corpora.content(corpus, lock)


def import_of(sae: ImportedSAE, lock: Lock) -> ImportSettings:
    """Identity and coordinates of an imported SAE.

    Raises UserError if a coordinate is neither configured nor in its files.
    """
    return about.settings(sae, _locked(_sae_reference(sae), lock), import_about(sae, lock))


def import_about(sae: ImportedSAE, lock: Lock) -> about.About:
    """What the files of an imported SAE said when they were locked."""
    found: about.About = json.loads(_locked(_about(sae, lock), lock))
    return found


def stored_about(model: ActivationsModel, lock: Lock) -> dict[str, Any]:
    """Rows of a folder of activations, and the width at each of its sites, when it was locked."""
    content = _locked(_model_reference(model), lock)
    found: dict[str, Any] = json.loads(_locked(f"about:activations:{content}", lock))
    return found


def _locked(reference: str, lock: Lock) -> str:
    if reference not in lock:
        raise UserError(f"{reference}: not in the lock file; run `interpsweep lock`")
    return lock[reference]


def externals(lock: Lock) -> dict[str, str]:
    """Content digest -> reference, for jobs: where to find what a spec names by content."""
    return {digest: name for name, digest in lock.items() if not name.startswith(_TOLD)}


def openers(known: dict[str, str]) -> dict[str, Callable[[], Path]]:
    """Content digest -> a function that returns what is behind it; see `open_external`."""
    return {digest: partial(open_external, digest, name) for digest, name in known.items()}


def open_external(digest: str, reference: str) -> Path:
    """The file or folder behind a reference. Raises UserError if its content is not `digest`."""
    kind, _, name = reference.partition(":")
    now = resolve(reference)
    if now != digest:
        raise UserError(
            f"{reference}: changed since it was locked ({digest[:23]} then, {now[:23]} now). "
            "Restore it, or run `interpsweep lock` to accept the new content"
        )
    folder = kind in ("checkpoint", "sae", "activations")
    return models.resolve_path(name) if folder else corpora.locate(reference)
