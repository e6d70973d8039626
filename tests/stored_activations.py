"""Activations of a small world as somebody else would have kept them, in each layout that is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

SITE, OTHER, D, LENGTH, CONTEXTS = "blocks.0.hook_resid_post", "blocks.1.hook_mlp_out", 16, 8, 60
VOCABULARY = 30


def rows(seed: int = 0, contexts: int = CONTEXTS, length: int = LENGTH) -> dict[str, np.ndarray]:
    """Tokens, contexts, positions and the activations of two sites: each token a direction."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, VOCABULARY, contexts * length)
    tokens[::length] = 0  # BOS
    directions = np.random.default_rng(9).standard_normal((VOCABULARY, D))
    noise = rng.standard_normal((len(tokens), D))
    return {
        "tokens": tokens,
        "context": np.repeat(np.arange(contexts), length),
        "position": np.tile(np.arange(length), contexts),
        SITE: (3 * directions[tokens] + 0.1 * noise).astype(np.float32),
        OTHER: noise.astype(np.float32),
    }


def write_npy(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def write_safetensors(file: Path, arrays: dict[str, np.ndarray]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, file)


def shards(arrays: dict[str, np.ndarray], *edges: int) -> list[dict[str, np.ndarray]]:
    """The arrays cut at some rows."""
    pieces = zip([0, *edges], [*edges, len(arrays["tokens"])], strict=True)
    return [{name: array[a:b] for name, array in arrays.items()} for a, b in pieces]


def write_saelens(folder: Path, arrays: dict[str, np.ndarray], **changes: Any) -> None:
    """As SAELens' runner does, by the same library: a row for each context, several files."""
    from datasets import Array2D, Dataset, Features, Sequence, Value

    kept = {
        SITE: arrays[SITE].reshape(-1, LENGTH, D),
        "token_ids": arrays["tokens"].reshape(-1, LENGTH).astype(np.int32),
    }
    features = {
        SITE: Array2D(shape=(LENGTH, D), dtype="float32"),
        "token_ids": Sequence(Value(dtype="int32"), length=LENGTH),
    }
    for name in changes.get("without", ()):
        del kept[name], features[name]
    made = Dataset.from_dict(kept, features=Features(features))
    made.save_to_disk(str(folder), num_shards=changes.get("num_shards", 3))
