"""The model card of exported SAEs: what they are, how good, how trained, how to load them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interpsweep.spec import DIGEST_IN_NAME
from interpsweep.store import Store

# metrics in the table of a card, by their names without version, in this order
SHOWN = ("l0", "explained_variance", "ce_recovered", "kl_recovered", "dead_fraction")
# what cfg.json calls the SAEs that SAELens has no class for
OURS_ALONE = ("topk_transcoder", "gated_transcoder")

_CARD = """\
---
{front}
---

# Sparse autoencoders of the sweep {sweep}

{summary}

| folder | layer | architecture | latents | sparsity | seed |{score_names}
|---|---|---|---|---|---|{score_rule}
{rows}

Every folder is an SAE in the format of SAELens: `cfg.json`, `sae_weights.safetensors`,
`sparsity.safetensors` (log10 of the firing rates). With it lie `metrics.json`, all scores on
held-out tokens under names that carry their version, and `manifest.json`, the settings and inputs
it was made from with the SHA-256 of every file.

## Load

{loading}
The weights work on activations as the model computes them, without any scaling.

## Training

{training}

## Activations

{activations}

## Provenance

Made with interpsweep. A digest is the SHA-256 of everything that determines an artifact; the same
settings give the same digest.

| folder | SAE | activations | corpus |
|---|---|---|---|
{provenance}

Versions: {versions}.
"""

_SAELENS = """\
With SAELens, from this folder or from a hub repository that it was uploaded to:

```python
from sae_lens import SAE

sae = SAE.load_from_disk("{folder}")
sae = SAE.from_pretrained(release="USER/REPOSITORY", sae_id="{folder}")
```

"""
_OURS = """\
With interpsweep{why}:

```python
from interpsweep.saes.load import load

sae = load("{folder}", device="cpu")  # torch; interpsweep.saes.artifact.Dictionary is numpy
```

"""


@dataclass(frozen=True)
class Exported:
    """One SAE of an export."""

    folder: str  # in the export, POSIX
    at: dict[str, Any]
    manifest: dict[str, Any]
    cfg: dict[str, Any]  # what SAELens reads of it
    scores: dict[str, Any]  # of stage `evaluate`; empty if it has not run


def model_card(sweep: str, saes: Sequence[Exported], store: Store, license_: str = "") -> str:
    """The text of README.md for exported SAEs; it depends on them and `license_` alone."""
    specs = [sae.manifest["spec"] for sae in saes]
    captures = {
        digest: store.read_spec(digest)
        for digest in dict.fromkeys(spec["inputs"]["activations"] for spec in specs)
    }
    corpora = {
        digest: store.read_spec(digest)
        for digest in dict.fromkeys(spec["inputs"]["corpus"] for spec in specs)
    }
    names = _score_names(saes)
    return _CARD.format(
        front=_front(captures, corpora, license_),
        sweep=sweep,
        summary=_summary(saes),
        score_names="".join(f" {name} |" for name in names),
        score_rule="---|" * len(names),
        rows="\n".join(_row(sae, names) for sae in saes),
        loading=_loading(saes),
        training=_training(specs),
        activations=_activations(captures, corpora),
        provenance="\n".join(_digests(sae) for sae in saes),
        versions=", ".join(sorted({f"{k} {v}" for s in saes for k, v in _versions(s).items()})),
    )


def _front(captures: dict[str, Any], corpora: dict[str, Any], license_: str) -> str:
    """Metadata that model hubs read. JSON strings are YAML too, whatever they hold."""
    models = {spec["settings"]["model"].get("repo") for spec in captures.values()}
    settings = [spec["settings"] for spec in corpora.values()]
    data = {part.get("repo") for one in settings for part in one.get("parts") or [one]}
    lists = {
        "base_model": sorted(models - {None}),
        "datasets": sorted(data - {None}),
        "tags": ["interpretability", "sparse-autoencoder"],
    }
    lines = [f"license: {json.dumps(license_)}"] if license_ else []
    lines.append("library_name: saelens")
    for key, values in lists.items():
        lines += [f"{key}:", *(f"- {json.dumps(value)}" for value in values)] if values else []
    return "\n".join(lines)


def _summary(saes: Sequence[Exported]) -> str:
    sites = list(dict.fromkeys((sae.at["model"], sae.at["site"]) for sae in saes))
    places = ", ".join(f"`{site}` of {model}" for model, site in sites[:8])
    more = f" and {len(sites) - 8} more sites" if len(sites) > 8 else ""
    return f"{len(saes)} dictionaries of activations at {places}{more}."


def _score_names(saes: Sequence[Exported]) -> list[str]:
    """Versioned names of the scores to show, as far as some SAE has them."""
    there = {name for sae in saes for name in sae.scores}
    return [name for shown in SHOWN for name in sorted(there) if name.rpartition(".v")[0] == shown]


def _row(sae: Exported, names: list[str]) -> str:
    at = sae.at
    cells = [f"`{sae.folder}`", at["layer"], at["architecture"], at["d_sae"]]
    cells += [f"{at['sparsity']:g}", at["seed"]]
    scores = [sae.scores.get(name) for name in names]
    cells += ["" if score is None else f"{score:.4g}" for score in scores]
    return f"| {' | '.join(map(str, cells))} |"


def _loading(saes: Sequence[Exported]) -> str:
    theirs = [sae for sae in saes if sae.cfg["architecture"] not in OURS_ALONE]
    ours = next((sae for sae in saes if sae.cfg["architecture"] in OURS_ALONE), None)
    why = f" (SAELens has no class for {ours.cfg['architecture']})" if ours else ""
    text = _SAELENS.format(folder=theirs[0].folder) if theirs else ""
    return text + _OURS.format(folder=(ours or saes[0]).folder, why=why)


def _training(specs: Sequence[dict[str, Any]]) -> str:
    """Settings that all trained SAEs share; those that differ are in the table above."""
    settings = [spec["settings"] for spec in specs if spec["stage"] == "train"]
    foreign = len(specs) - len(settings)
    text = f"{foreign} of the SAEs were trained elsewhere and imported. " if foreign else ""
    if not settings:
        return text.strip()
    common = {
        key: value
        for key, value in settings[0].items()
        if all(key in other and other[key] == value for other in settings)
    }
    varying = sorted({key for one in settings for key in one} - common.keys())
    text += f"Settings of all SAEs trained here (`{'`, `'.join(varying)}` vary):" if varying else ""
    return "\n".join([text or "Settings:", "", *_table(common)])


def _activations(captures: dict[str, Any], corpora: dict[str, Any]) -> str:
    parts = []
    for title, specs in (("capture", captures), ("corpus", corpora)):
        for digest, spec in specs.items():
            parts += [f"**{title} {digest[:DIGEST_IN_NAME]}**", "", *_table(spec["settings"]), ""]
    return "\n".join(parts).strip()


def _table(settings: dict[str, Any]) -> list[str]:
    rows = [f"| {key} | `{_cell(value)}` |" for key, value in sorted(settings.items())]
    return ["| setting | value |", "|---|---|", *rows]


def _cell(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    text = text if len(text) <= 300 else f"{text[:300]} ..."
    return text.replace("|", "\\|").replace("`", "'")


def _digests(sae: Exported) -> str:
    inputs = sae.manifest["spec"]["inputs"]
    found = (sae.manifest["digest"], inputs["activations"], inputs["corpus"])
    return f"| `{sae.folder}` | {' | '.join(digest[:DIGEST_IN_NAME] for digest in found)} |"


def _versions(sae: Exported) -> dict[str, str]:
    found: dict[str, str] = sae.manifest.get("versions", {})
    return found
