"""A small corpus with activations, as the stages of SAEs read them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import zarr
from safetensors.numpy import save_file

from interpsweep.activations.artifact import ARRAY, LEFT_OUT, ROWS, SPLITS, STATISTICS, create_array
from interpsweep.config.models import Architecture
from interpsweep.models import native
from interpsweep.tables import write_json

D_IN, D_OUT = 12, 9
N_CONTEXTS, LENGTH = 60, 17  # a mark and 16 tokens


def make_world(root: Path) -> dict:
    """Activations (960 rows) and their corpus: splits of 40, 15 and 5 contexts."""
    rng = np.random.default_rng(0)
    splits = {"train": [0, 40], "analysis": [40, 55], "eval": [55, 60]}
    offsets = np.arange(N_CONTEXTS + 1) * LENGTH
    ids = rng.integers(1, 30, N_CONTEXTS * LENGTH).astype(np.int32)
    special = np.zeros(len(ids), np.uint8)
    special[offsets[:-1]] = 1
    ids[offsets[:-1]] = 0
    corpus = root / "corpus"
    group = zarr.open_group(corpus / "tokens.zarr", mode="w", zarr_format=3)
    for name, array in (("tokens", ids), ("special", special), ("offsets", offsets)):
        group.create_array(name, data=array)
    write_json(["<bos>", *(f" w{i}" for i in range(1, 30))], corpus / "vocabulary.json")
    write_json({"splits": splits, "concepts": {}, "context_length": LENGTH}, corpus / "corpus.json")

    acts = root / "activations"
    acts.mkdir()
    flat = np.flatnonzero(special == 0)
    embedding = rng.standard_normal((30, D_IN))
    x = embedding[ids[flat]] + 0.2 * rng.standard_normal((len(flat), D_IN)) + 0.5
    x = x.astype(np.float32)
    create_array(acts / ARRAY, len(x), D_IN, 100, "float32")[:] = x
    rows = zarr.open_group(acts / ROWS, mode="w", zarr_format=3)
    rows.create_array("token", data=flat.astype(np.int64))
    rows.create_array("context", data=(flat // LENGTH).astype(np.int32))
    rows.create_array("position", data=(flat % LENGTH).astype(np.int32))
    write_json({name: [16 * a, 16 * b] for name, (a, b) in splits.items()}, acts / SPLITS)
    _write_statistics(x[: 16 * 40], acts)
    write_json({"spec": {"settings": {"site": "blocks.0.hook", "model": {"source": "trained"}}}},
               acts / "manifest.json")  # fmt: skip
    predicted = _targets(root / "targets", acts, x)
    return {
        "corpus": corpus,
        "activations": acts,
        "masks": [acts],
        "targets": predicted,
        "x": x,
        "ids": ids,
        "flat": flat,
    }


def _targets(path: Path, acts: Path, x: np.ndarray) -> Path:
    """Activations of a later site, of another width: a layer of neurons on those at `acts`."""
    rng = np.random.default_rng(1)
    hidden = np.maximum(x @ rng.standard_normal((D_IN, 10)) - 2, 0)
    y = (hidden @ rng.standard_normal((10, D_OUT)) + 0.7).astype(np.float32)
    return activations_like(acts, path, y, "blocks.0.hook_out")


def activations_like(acts: Path, path: Path, y: np.ndarray, site: str) -> Path:
    """Other activations (n, d) for the tokens of those at `acts`."""
    shutil.copytree(acts, path)
    shutil.rmtree(path / ARRAY)
    create_array(path / ARRAY, len(y), y.shape[1], 100, "float32")[:] = y
    _write_statistics(y[: 16 * 40], path)
    settings = {"site": site, "model": {"source": "trained"}}
    write_json({"spec": {"settings": settings}}, path / "manifest.json")
    return path


def _write_statistics(rows: np.ndarray, path: Path) -> None:
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1)
    save_file(
        {
            "mean": rows.mean(0),
            "second_moment": rows.T @ rows / len(rows),
            "mean_norm": norms.mean()[None],
            "mean_squared_norm": (norms**2).mean()[None],
        },
        path / STATISTICS,
    )
    none = np.zeros(0, np.int64)  # activations that are their own mask, which leaves nothing out
    save_file({"row": none, "token": none, "reason": none.astype(np.uint8)}, path / LEFT_OUT)


class Made:
    """An item of a job."""

    def __init__(self, out, spec, inputs):
        out.mkdir()
        self.out, self.spec, self.inputs, self.digest = out, spec, inputs, out.name
        self.metrics = None

    def publish(self, metrics):
        self.metrics = metrics


def make_model(folder: Path, embedding: float = 4) -> Path:
    """A checkpoint of two untrained blocks for the corpus of `make_world`."""
    architecture = Architecture(n_layers=2, d_model=D_IN, n_heads=2, d_mlp=24, n_ctx=20)
    config = native.native_config(architecture, 30, 0)
    module = native.build(config)
    for name, parameter in module.named_parameters():  # far from uniform predictions
        parameter.data *= embedding if name == "tok_embed.weight" else 4
    native.save(module, config, ["w"] * 30, folder)
    return folder
