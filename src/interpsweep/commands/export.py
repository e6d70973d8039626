"""Chosen SAEs of a sweep as a folder ready for a model hub: weights, scores, a model card."""

from __future__ import annotations

import re
import shutil
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from interpsweep import driver
from interpsweep.commands.card import Exported, model_card
from interpsweep.errors import UserError, nearest
from interpsweep.plan import Plan
from interpsweep.plan.items import PlannedItem
from interpsweep.plan.jobs import readable_name
from interpsweep.plan.saes import SAES
from interpsweep.spec import DIGEST_IN_NAME
from interpsweep.store import Store
from interpsweep.store.layout import MANIFEST
from interpsweep.store.manifest import hash_file
from interpsweep.tables import read_json

# what a user types -> the coordinate of an item
KEYS = {
    **{key: key for key in ("model", "site", "layer", "architecture", "sparsity", "seed")},
    "width": "d_sae",
}
SCORES = "metrics.json"
_DIGEST = re.compile(r"[0-9a-f]{4,64}")


def export_saes(
    configs: list[Path], chosen: list[str], to: Path, license_: str = "", store: Store | None = None
) -> None:
    """Copy the `chosen` SAEs of a sweep to the new folder `to`, with a model card.

    The same SAEs always give the same bytes. Raises UserError for a choice that means nothing, an
    SAE that is missing or damaged, and a folder that holds something already.
    """
    plan, store = driver.plan_sweep(configs), store or Store()
    saes = choose(plan, chosen)
    missing = [sae for sae in saes if not store.exists(sae.digest)]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(saes)} chosen SAEs are not made yet, first of all "
            f"{missing[0].at['site']} {readable_name(missing[0])}; run the sweep"
        )
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"{to}: there is something already; name a new folder")
    partial = to.with_name(f".{to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    exported = [_copy(plan, store, sae, partial) for sae in saes]
    card = model_card(plan.sweep.sweep, exported, store, license_)
    (partial / "README.md").write_text(card, encoding="utf-8")
    if to.exists():
        to.rmdir()
    partial.rename(to)
    print(f"{to}: {len(exported)} SAEs and README.md, the model card")


def choose(plan: Plan, chosen: list[str]) -> list[PlannedItem]:
    """The SAEs that any of `chosen` names, in the order of the plan; all if it is empty.

    Each is a list of conditions (``site=blocks.8.*,width=4096``), the first digits of a digest, or
    a folder below results/ or the store. Raises UserError for one that names no SAE.
    """
    saes = plan.items.of(*SAES)
    found: dict[str, PlannedItem] = {}
    for text in chosen or ["model=*"]:
        if "=" in text:
            conditions = _conditions(text)
            fitting = [sae for sae in saes if _fits(sae, conditions)]
        else:
            start = _digits(text)
            fitting = [sae for sae in saes if sae.digest.startswith(start)]
        if not fitting:
            raise UserError(f"{text}: no SAE of sweep {plan.sweep.sweep}; it has {_offer(saes)}")
        found |= {sae.digest: sae for sae in fitting}
    return [sae for sae in saes if sae.digest in found]


def _conditions(text: str) -> dict[str, str]:
    found = {}
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key not in KEYS or not value:
            raise UserError(
                f"{text}: {key!r} is no condition{nearest(key, KEYS)}; write KEY=VALUE,KEY=VALUE "
                f"with the keys {', '.join(KEYS)}"
            )
        found[KEYS[key]] = value
    return found


def _fits(sae: PlannedItem, conditions: dict[str, str]) -> bool:
    return all(fnmatchcase(_text(sae.at[key]), value) for key, value in conditions.items())


def _text(value: Any) -> str:
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _digits(text: str) -> str:
    """The first digits of the digest that `text` or the folder of that name stands for."""
    path = Path(text)
    start = (path / MANIFEST).resolve().parent.name[-DIGEST_IN_NAME:] if path.exists() else text
    if not _DIGEST.fullmatch(start):
        raise UserError(
            f"{text}: neither conditions (site=...,width=...), nor the first digits of a digest, "
            "nor the folder of an SAE"
        )
    return start


def _offer(saes: list[PlannedItem]) -> str:
    values = {
        name: list(dict.fromkeys(_text(sae.at[key]) for sae in saes)) for name, key in KEYS.items()
    }
    return "; ".join(f"{name} {', '.join(known[:12])}" for name, known in values.items())


def _copy(plan: Plan, store: Store, sae: PlannedItem, to: Path) -> Exported:
    """Copy an SAE and its scores, checking every byte."""
    name = "/".join([sae.at["model"], sae.at["site"], readable_name(sae)])
    source, target = store.root / sae.place, to / name
    manifest = store.manifest(sae.digest)
    _copy_files(source, target, manifest["files"])
    shutil.copyfile(source / MANIFEST, target / MANIFEST)
    scores: dict[str, Any] = {}
    for item in plan.items.of("evaluate", model=sae.at["model"], site=sae.at["site"]):
        if item.spec["inputs"]["sae"] == sae.digest and store.exists(item.digest):
            table = store.manifest(item.digest)["files"]
            _copy_files(store.root / item.place, target, {SCORES: table[SCORES]})
            scores = read_json(target / SCORES)
    return Exported(name, dict(sae.at), manifest, read_json(target / "cfg.json"), scores)


def _copy_files(source: Path, target: Path, files: dict[str, dict[str, Any]]) -> None:
    for name, expected in files.items():
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source / name, copy)
        except FileNotFoundError:
            raise UserError(_damaged(source / name, "missing")) from None
        if hash_file(copy) != expected["sha256"]:
            raise UserError(_damaged(source / name, "damaged"))


def _damaged(path: Path, how: str) -> str:
    return f"{path}: {how}; run `interpsweep verify --full --repair`, then the sweep"
