"""Stage probe on a small corpus whose tokens are labelled: tables, samples and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr

from interpsweep.config.inference import EncodeSettings
from interpsweep.config.probes import ProbesSettings
from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.saes import encode, probed
from interpsweep.saes.artifact import write_dictionary
from interpsweep.tables import read_json, read_parquet, write_json
from saes_world import D_IN, Made, make_world

SETTINGS = ProbesSettings(methods=("projection",), min_tokens=10, draws=3, first_letters=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A concept of three values, those of the token numbers from 1, 11 and 21 up."""
    made = make_world(tmp_path_factory.mktemp("world"))
    corpus = made["corpus"]
    group = zarr.open_group(corpus / "tokens.zarr", mode="a")
    ids = made["ids"]
    group.create_array("labels/size", data=np.where(ids > 0, (ids - 1) // 10, -1).astype(np.int16))
    concept = {"shape": "line", "values": ["small", "medium", "large"]}
    write_json({**read_json(corpus / "corpus.json"), "concepts": {"size": concept}},
               corpus / "corpus.json")  # fmt: skip
    words = ["<bos>", *(f" {'abc'[i % 3]}{i}" for i in range(1, 29)), "##d29"]
    write_json(words, corpus / "vocabulary.json")
    return made


def probe(world: dict[str, Any], root: Any, settings: ProbesSettings = SETTINGS) -> Made:
    """An SAE whose latents are the embeddings of the tokens, and what its probes say."""
    x, ids = world["x"] - 0.5, world["ids"][world["flat"]]
    means = np.array([x[ids == i].mean(axis=0) for i in range(1, 30)])
    rows = means / np.linalg.norm(means, axis=1, keepdims=True)
    bias = -0.6 * np.linalg.norm(means, axis=1)
    tensors = {"W_enc": rows.T, "W_dec": rows, "b_enc": bias, "b_dec": np.full(D_IN, 0.5)}
    write_dictionary(root / "sae", "standard", tensors)
    inputs = {"sae": root / "sae", **{r: world[r] for r in ("corpus", "activations", "masks")}}
    (root / "codes").mkdir()
    encode.run({"settings": EncodeSettings().identity()}, inputs, root / "codes", Context())
    spec = {"settings": settings.identity()}
    item = Made(root / "item", spec, {**inputs, "codes": root / "codes"})
    probed.run([item], Context())
    return item


def test_every_value_has_its_row(world: dict[str, Any], tmp_path: Any) -> None:
    item = probe(world, tmp_path)
    values = read_parquet(item.out / "values.parquet")
    assert list(values["label"]) == ["small", "medium", "large", "a", "b", "c"]
    analysis = world["ids"][world["flat"]][640:880]
    assert list(values["tokens"][:3]) == [int(np.sum((analysis - 1) // 10 == v)) for v in range(3)]
    # the token that no word begins with is no letter's
    assert values["tokens"][3:].sum() == np.sum(analysis < 29)
    for row in values.itertuples():
        assert 0 <= row.full <= 1 and 0 <= row.fraction <= 1 and 0 < row.full_p <= 1
        latents = [int(name) for name in row.latents.split(",")]
        assert len(latents) == row.main and max(latents) < 29
        assert row.counts == (row.probe_f1 >= SETTINGS.least_f1)
        assert row.f1 >= row.f1_first
    # a first main latent of a size stands for one of its ten tokens
    firsts = [int(name.split(",")[0]) // 10 for name in values["latents"][:3]]
    assert firsts == [0, 1, 2]
    absorbers = read_parquet(item.out / "absorbers.parquet")
    counted = absorbers.groupby(["concept", "value"])["tokens"].sum()
    for (concept, value), tokens in counted.items():
        row = values[values["concept"].eq(concept) & values["value"].eq(value)].iloc[0]
        assert tokens == pytest.approx(row["full"] * row["true_positives"])
    summary = read_json(item.out / "summary.json")
    assert summary == item.metrics and summary["values"] == 6
    (tmp_path / "again").mkdir()
    again = probe(world, tmp_path / "again")
    assert read_parquet(again.out / "values.parquet").equals(values)


def test_what_cannot_be_probed_is_named(world: dict[str, Any], tmp_path: Any) -> None:
    with pytest.raises(UserError, match="no labelled concept 'sise'; did you mean 'size'"):
        probe(world, tmp_path, ProbesSettings(methods=("projection",), concepts=("sise",)))
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match=r"lower probes\.min_tokens"):
        probe(world, tmp_path / "b", ProbesSettings(methods=("projection",), min_tokens=10_000))
