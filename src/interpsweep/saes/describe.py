"""What cfg.json says about where an SAE's activations come from, in SAELens' words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interpsweep.store.layout import MANIFEST
from interpsweep.store.seal import read_manifest


def describe(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata out of the manifests of the inputs: `activations`, `corpus`, `targets` if any.

    ``prepend_bos`` says whether contexts began with a mark (BOS, CLS) when activations were read.
    """
    model = _settings(inputs["activations"]).get("model", {})
    site = site_of(inputs["activations"])
    predicted = {}
    if "targets" in inputs:
        predicted["hook_name_out"] = site_of(inputs["targets"])
    return {
        "hook_name": site,
        "model_name": model.get("repo") or model.get("weights") or model.get("source"),
        **predicted,
        "hook_head_index": None,
        "model_from_pretrained_kwargs": {},
        "seqpos_slice": [None],
        **_corpus(inputs["corpus"]),
    }


def site_of(activations: Path) -> str | None:
    """The hook that activations were read at."""
    site: str | None = _settings(activations).get("site")
    return site


def reshaping(site: str | None) -> str:
    """SAELens' `reshape_activations`: it hands ``hook_z`` out by head, we keep it flat."""
    return "hook_z" if site is not None and site.endswith("hook_z") else "none"


def _corpus(path: Path) -> dict[str, Any]:
    from interpsweep.corpora.artifact import Corpus

    corpus, settings = Corpus.open(path), _settings(path)
    parts = settings.get("parts") or [settings]
    names = [str(part.get("repo") or part.get("source")) for part in parts if part]
    return {
        "context_size": corpus.meta["context_length"],
        "prepend_bos": bool(corpus.special[0]),
        "dataset_path": ", ".join(names),
    }


def _settings(item: Path) -> dict[str, Any]:
    """Settings in the spec of a finished item; none for an artifact without a manifest."""
    manifest = item / MANIFEST
    return read_manifest(manifest)["spec"]["settings"] if manifest.exists() else {}
