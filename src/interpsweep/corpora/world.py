"""The corpus of a world: rows drawn from it, with the truth about each. No torch.

Beside what every corpus has (a token names the most special feature of its row), in ``planted/``:

``codes.zarr``
    Magnitudes of the planted features on every row, as `saes.codes` stores codes.
``features.parquet``
    One row per planted feature: ``feature``, ``name``, ``parent`` (-1 = none), ``depth``,
    ``count`` (rows where it is active), ``density``, ``mean`` (its magnitude there).
``directions.safetensors``
    ``directions`` (features, d) float32, unit rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix

from interpsweep.config.corpora import GeneratedCorpus
from interpsweep.config.worlds import WorldSettings
from interpsweep.context import Context
from interpsweep.corpora.write import TokenStore, independent_contexts, write_meta
from interpsweep.saes.codes import BLOCK_ROWS, Codes, CodesWriter
from interpsweep.tables import read_json, read_parquet, write_parquet
from interpsweep.worlds import World, world
from interpsweep.worlds.planted import BLOCK

FOLDER, FEATURES, DIRECTIONS = "planted", "features.parquet", "directions.safetensors"
_SETTINGS: TypeAdapter = TypeAdapter(WorldSettings)


@dataclass(frozen=True)
class Planted:
    """The truth about the rows of a world's corpus."""

    corpus: Path

    @staticmethod
    def there(corpus: Path) -> bool:
        """Whether a corpus is that of a world."""
        return (corpus / FOLDER / DIRECTIONS).exists()

    @cached_property
    def settings(self) -> Any:
        """The world's settings (a class of `config.worlds`)."""
        return _SETTINGS.validate_python(read_json(self.corpus / "corpus.json")["truth"]["world"])

    @cached_property
    def codes(self) -> Codes:
        """Magnitudes of the planted features; row i is row i of the activations."""
        return Codes.open(self.corpus / FOLDER)

    @cached_property
    def features(self) -> pd.DataFrame:
        """The planted features."""
        return read_parquet(self.corpus / FOLDER / FEATURES)

    @cached_property
    def directions(self) -> np.ndarray:
        """float32 (features, d), unit rows."""
        return load_file(self.corpus / FOLDER / DIRECTIONS)["directions"]


def write_world(
    settings: GeneratedCorpus, planted: dict[str, Any], out: Path, ctx: Context
) -> tuple[int, dict[str, list[int]], World]:
    """Write the corpus of a world; return its contexts, their splits, and the world."""
    made = world(_SETTINGS.validate_python(planted))
    length = settings.context_length
    n, splits = independent_contexts(settings)
    rows = n * length
    store = TokenStore(out, rows, made.concepts)
    edges = [(i, min(i + BLOCK, rows)) for i in range(0, rows, BLOCK)]
    counts = []
    for (start, stop), drawn in zip(
        edges, ctx.block_map(partial(_draw, made, settings.seed), edges, "drawing"), strict=True
    ):
        counts.append(drawn.codes.nnz)
        store.put("tokens", start, made.tokens(drawn.codes))
        store.put("special", start, np.zeros(stop - start, np.uint8))
        for name, values in drawn.labels.items():
            store.put(f"labels/{name}", start, values)
    store.finish(np.arange(n + 1, dtype=np.int64) * length, np.arange(n, dtype=np.int32))
    truth = {"world": made.settings.model_dump(mode="json")}
    write_meta(out, splits, made.concepts, length, made.vocabulary, truth)
    _write_truth(made, settings.seed, edges, counts, out / FOLDER, ctx)
    return n, splits, made


def _draw(made: World, seed: int, edges: tuple[int, int]) -> Any:
    start, stop = edges
    drawn = made.draw(start // BLOCK, seed)
    if stop - start == BLOCK:
        return drawn
    kept = {name: values[: stop - start] for name, values in drawn.labels.items()}
    return drawn._replace(codes=csr_matrix(drawn.codes[: stop - start]), labels=kept)


def _write_truth(
    made: World,
    seed: int,
    edges: list[tuple[int, int]],
    counts: list[int],
    folder: Path,
    ctx: Context,
) -> None:
    """The planted codes, drawn a second time so that they are never all in memory."""
    assert BLOCK == BLOCK_ROWS
    folder.mkdir(exist_ok=True)
    n, rows = len(made.names), edges[-1][1]
    writer = CodesWriter(folder, (0, rows), n, counts, 0)
    active, total = np.zeros(n, np.int64), np.zeros(n)
    drawn_again = ctx.block_map(partial(_draw, made, seed), edges, "writing the truth")
    for edge, drawn in zip(edges, drawn_again, strict=True):
        writer.append(drawn.codes, np.arange(*edge))
        active += np.bincount(drawn.codes.indices, minlength=n)
        total += np.bincount(drawn.codes.indices, drawn.codes.data, n)
    writer.close()
    table = {
        "feature": np.arange(n, dtype=np.int32),
        "name": made.names,
        "parent": made.parent,
        "depth": made.depth,
        "count": active,
        "density": active / rows,
        "mean": total / np.maximum(active, 1),
    }
    write_parquet(pd.DataFrame(table), folder / FEATURES)
    save_file({"directions": made.directions}, folder / DIRECTIONS)
