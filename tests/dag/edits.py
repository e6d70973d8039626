"""What the table of edits is written in: sweeps, edits, and conditions on what is redone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from interpsweep import driver
from interpsweep.commands.store import lock_inputs, verify_store
from interpsweep.plan import Plan
from interpsweep.stages import STAGES
from interpsweep.store import Store
from interpsweep.store.layout import MANIFEST

Data = dict[str, Any]
Edit = Callable[[Data, Plan], None]  # runs in the folder of the sweep
At = dict[str, Any]  # coordinates of an item

CONFIG = Path("sweep.yaml")
SITES = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")


@dataclass(frozen=True)
class Where:
    """A condition on the coordinates of items, and how to say it to a researcher."""

    words: str
    holds: Callable[[At], bool]

    def __call__(self, at: At) -> bool:
        return self.holds(at)


Redone = dict[str, Where]  # of which stage


def _unchanged(_data: Data, _plan: Plan) -> None:
    pass


@dataclass(frozen=True)
class Row:
    """One edit. `words` say it to a researcher, `part` is the heading under which it stands."""

    part: str
    words: str
    edit: Edit = _unchanged
    redone: Redone = field(default_factory=dict)
    sweep: str = "trained"
    before: Edit = _unchanged


# ------------------------------------------------------------------------------- the sweeps


def trained() -> Data:
    """A model that the workflow trains: 2 sites x 2 widths x 2 seeds."""
    return {
        "sweep": "tiny",
        "label": "a note",
        "models": [
            {
                "name": "one",
                "source": "trained",
                "architecture": {"n_layers": 2, "d_model": 16, "n_heads": 2, "d_mlp": 32},
                "sites": list(SITES),
            }
        ],
        "corpus": {"source": "generated", "n_tokens": 10000},
        "train": {"widths": [32, 64], "sparsities": [4], "seeds": [0, 1], "tokens": 10000},
    }


def local() -> Data:
    """A checkpoint and texts on this machine."""
    for name in ("texts/a.txt", "texts/b.txt", "checkpoint/config.json"):
        write(name)
    write("checkpoint/model.safetensors")
    data = trained()
    data["models"] = [{"name": "one", "source": "path", "path": "checkpoint", "sites": list(SITES)}]
    data["corpus"] = {"source": "text", "files": ["texts/*.txt"], "n_tokens": 10000}
    return data


def converted() -> Data:
    """A GGUF file that a checkpoint is made of, and texts on this machine."""
    data = local()
    other_weights(data, None)
    data["models"][0]["path"] = "tiny.gguf"
    return data


def imported() -> Data:
    """One site with the four SAEs of `trained`, and two of somebody else."""
    for width in (64, 128, 256):
        write_sae(f"saes/w{width}", width)
    data = trained()
    data["models"][0] |= {
        "sites": [SITES[0]],
        "saes": [
            {"path": "saes/w{width}", "site": SITES[0], "seed": 5, "each": {"width": [64, 128]}}
        ],
    }
    return data


def transcoders() -> Data:
    """SAEs at the inputs and outputs of the MLPs, and transcoders from one to the other."""
    data = trained()
    data["models"][0]["sites"] = ["blocks.{0..1}.hook_mlp_in", "blocks.{0..1}.hook_mlp_out"]
    data["train"]["architectures"] = ["topk", transcoder("blocks.{layer}.hook_mlp_out")]
    return data


SWEEPS: dict[str, Callable[[], Data]] = {
    "trained": trained,
    "local": local,
    "converted": converted,
    "imported": imported,
    "transcoders": transcoders,
}


def transcoder(output: str) -> Data:
    """The entry of an axis that makes transcoders."""
    return {"architecture": "topk", "output_site": output}


def write(name: str, content: str = "a") -> None:
    """Write a file that stands for something from outside."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content + name)


def write_sae(folder: str, d_sae: int, value: float = 1.0) -> None:
    """Write an SAE in SAELens' format."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    cfg = {"architecture": "topk", "d_in": 16, "d_sae": d_sae, "k": 4, "dtype": "float32",
           "metadata": {"sae_lens_version": "6.54.12", "hook_name": SITES[0]}}  # fmt: skip
    Path(folder, "cfg.json").write_text(json.dumps(cfg))
    tensors = {"W_enc": (16, d_sae), "W_dec": (d_sae, 16), "b_enc": (d_sae,), "b_dec": (16,)}
    save_file({name: np.full(shape, value, "f4") for name, shape in tensors.items()},
              Path(folder, "sae_weights.safetensors"))  # fmt: skip


# ------------------------------------------------------------------------------- conditions

# What each figure is drawn from.
READS = {
    "concepts": {"concepts"},
    "interventions": {"intervene"},
    "massive": {"mask"},
    **{
        name: {"claims"}
        for name in (
            "recovery",
            "pareto",
            "widths",
            "families",
            "branches",
            "levels",
        )
    },
    "landscape": {"landscape"},
    "probes": {"probe"},
    "census": {"claims", "geometry"},
    **{name: {"evaluate"} for name in ("latents", "breakdown")},
    "training": {"train"},
    "matching": {"match"},
    "contrasts": {"claims"},
    "stitching": {"match"},
    "absorption": {"match", "tree"},
    "edges": {"tree"},
    "forest": {"tree", "encode"},
    **{name: {"geometry"} for name in ("panels", "loops", "embedding", "spectrum", "spectra")},
}
_FROM_EVALUATE = ("evaluate", "encode", "geometry", "landscape", "match", "tree", "claims")
SAE_STAGES = ("train", *_FROM_EVALUATE)
OF_FAMILIES = ("children", "agreement")


_NAMES = {"d_sae": "width", "site": "site", "seed": "seed", "sparsity": "sparsity",
          "architecture": "architecture", "model": "model", "direction": "direction",
          "layer": "layer"}  # fmt: skip

everything = Where("", lambda at: True)


def having(**values: Any) -> Where:
    """Those with these coordinates, and those that lie across them."""
    words = "with " + ", ".join(f"{_NAMES[key]} `{value}`" for key, value in values.items())
    return Where(
        words, lambda at: all(at.get(key, value) == value for key, value in values.items())
    )


def across(key: str) -> Where:
    """Those that stand for all values of a coordinate together."""
    return Where(f"over all {_NAMES[key]}s", lambda at: key not in at)


def both(a: Where, b: Where) -> Where:
    """Those for which two conditions hold."""
    return Where(", ".join(filter(None, (a.words, b.words))), lambda at: a(at) and b(at))


def drawn(*stages: str, where: Where = everything) -> Redone:
    """The figures of some stages."""
    chosen = set(stages)
    return {
        "figures": Where(
            "that show them", lambda at: bool(READS[at["figure"]] & chosen) and where(at)
        )
    }


TOP: Redone = dict.fromkeys(("claims", "report", "bundle"), everything)
ATLAS: Redone = dict.fromkeys(("report", "bundle"), everything)
ONLY_BUNDLE: Redone = {"bundle": everything}


def of_saes(where: Where, trees: Where | None = None, made: str = "train") -> Redone:
    """Some SAEs and all that reads them; `trees` are the families that they belong to."""
    families = where if trees is None else trees

    def grown(at: At) -> bool:
        """Of a tree: a family's, or the one between two seeds of a width."""
        seeds = (at["seed"], at["against"]) if "against" in at else ()
        return any(where({**at, "seed": seed}) for seed in seeds) if seeds else families(at)

    pairs = Where(where.words, lambda at: where(at["a"]) or where(at["b"]))
    return {
        **dict.fromkeys((made, "evaluate", "encode", "geometry", "landscape", "meta"), where),
        "recovery": where,
        "match": pairs,
        "tree": Where(families.words, grown),
        **dict.fromkeys(OF_FAMILIES, families),
        **TOP,
        **drawn(made, *_FROM_EVALUATE, where=families),
    }


def of_masks(where: Where = everything) -> Redone:
    """Some sites, from the choice of the rows that are used on."""
    figures = drawn("mask", *SAE_STAGES, "concepts", where=where)
    return {**dict.fromkeys(("mask", "concepts"), where), **of_saes(where), **figures}


def of_sites(where: Where = everything) -> Redone:
    """Some sites, from their activations on."""
    return {"capture": where, **of_masks(where)}


def below(*stages: str) -> Redone:
    """All items of some stages, and the figures and tables of the sweep."""
    return {**dict.fromkeys(stages, everything), **TOP, **drawn(*stages, "claims")}


def dropped(key: str, made: str = "train", where: Where = everything) -> Redone:
    """What summarises an axis that lost a value: nothing is computed again below it."""
    return {**TOP, **drawn(made, *_FROM_EVALUATE, where=both(across(key), where))}


# ------------------------------------------------------------------------------- edits


def put(path: str, value: Any) -> Edit:
    """Set one dotted key."""

    def edit(data: Data, _plan: Plan | None = None) -> None:
        *parents, last = path.split(".")
        at: Any = data
        for key in parents:
            at = at[int(key)] if key.isdigit() else at.setdefault(key, {})
        at[last] = deepcopy(value)

    return edit


def together(*edits: Edit) -> Edit:
    """One edit after the other."""

    def edit(data: Data, plan: Plan) -> None:
        for each in edits:
            each(data, plan)

    return edit


def reorder_keys(data: Data, _plan: Plan) -> None:
    """Write the sections, and the keys of one, the other way round."""
    for part in (data, data["train"]):
        for key in list(part)[::-1]:
            part[key] = part.pop(key)


def there_and_back(data: Data, _plan: Plan) -> None:
    """Plan the sweep with other settings, as `snakemake` does, and take them back."""
    edited = deepcopy(data)
    put("train.tokens", 5000)(edited)
    CONFIG.write_text(json.dumps(edited))
    driver.prepare(driver.plan_sweep([CONFIG]))


def second_model(data: Data, _plan: Plan) -> None:
    """Another model like the first, of another seed."""
    data["models"].append({**deepcopy(data["models"][0]), "name": "two", "seed": 7})


def share(**train: Any) -> Edit:
    """Name the first model a second time, with other settings of its SAEs."""

    def edit(data: Data, _plan: Plan) -> None:
        overrides = {"train": deepcopy(train)}
        data["models"].append(
            {**deepcopy(data["models"][0]), "name": "two", "overrides": overrides}
        )

    return edit


def reverse_models(data: Data, _plan: Plan) -> None:
    """Name the models in another order."""
    data["models"].reverse()


def lock(_data: Data, _plan: Plan) -> None:
    """Run `interpsweep lock`."""
    lock_inputs([CONFIG])


def rewrite(name: str) -> Edit:
    """Change the bytes of an outside file."""
    return lambda data, plan: write(name, "b")


def other_weights(_data: Data, plan: Plan | None) -> None:
    """Write a GGUF file; instead of one that is planned already, another one."""
    from gguf_files import llama, write_gguf  # scripts that print the table do without

    write_gguf(Path("tiny.gguf"), llama(seed=0 if plan is None else 1))


def retrain_foreign(data: Data, _plan: Plan) -> None:
    """Somebody else's SAE of width 64 gets other weights."""
    write_sae("saes/w64", 64, value=2.0)


def move(old: str, new: str) -> Edit:
    """Rename a file or folder."""
    return lambda data, plan: Path(old).rename(new)


def raise_version(stage: str) -> Edit:
    """The code of a stage gives other results than it did."""

    def edit(_data: Data, _plan: Plan) -> None:
        STAGES[stage] = replace(STAGES[stage], version=STAGES[stage].version + 1)

    return edit


def lose(stage: str, **at: Any) -> Edit:
    """Delete the folders of some items."""

    def edit(_data: Data, plan: Plan) -> None:
        for item in plan.items.of(stage, **at):
            shutil.rmtree(Store().find(item.digest))

    return edit


def damage(stage: str, **at: Any) -> Edit:
    """Cut the manifests of some items short, and repair the store."""

    def edit(_data: Data, plan: Plan) -> None:
        for item in plan.items.of(stage, **at):
            manifest = Store().find(item.digest) / MANIFEST
            manifest.write_text(manifest.read_text()[:50])
        verify_store(full=True, repair=True)

    return edit


def lose_snakemake(_data: Data, _plan: Plan) -> None:
    """Delete what Snakemake remembers, and the readable results."""
    for folder in (".snakemake", "results"):
        shutil.rmtree(folder, ignore_errors=True)
