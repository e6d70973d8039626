"""Stage probe on a small corpus whose tokens are labelled: tables, samples and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from scipy.sparse import csr_matrix

from interpsweep.claims.claims import SPARSE_COLUMNS, sparse_over_seeds
from interpsweep.config.inference import EncodeSettings
from interpsweep.config.probes import ProbesSettings
from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.saes import encode, sparse
from interpsweep.saes import probe as stage
from interpsweep.saes.artifact import write_dictionary
from interpsweep.sources import Source
from interpsweep.tables import read_json, read_parquet, write_json, write_parquet
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
    stage.run([item], Context())
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


def test_sparse_probes_find_what_a_latent_stands_for(world: dict[str, Any], tmp_path: Any) -> None:
    settings = ProbesSettings(methods=("sparse",), min_tokens=10, sparse_latents=(1, 3, 10))
    item = probe(world, tmp_path, settings)
    table = read_parquet(item.out / "sparse.parquet")
    assert list(table["label"].unique()) == ["small", "medium", "large"]
    assert table.groupby("value")["k"].agg(list).tolist() == [[1, 3, 10]] * 3
    assert read_parquet(item.out / "values.parquet").empty  # absorption was not asked for
    by_k = table.groupby("k")[["f1", "auc", "f1_shuffled", "auc_shuffled", "f1_neurons"]].mean()
    # a size is ten tokens with a latent each: ten latents find it, one finds one of ten
    # a size is ten tokens with a latent each: ten latents find it, one finds one of ten, and what
    # is linear in the activations, one dimension or all, cannot tell ten tokens from the others
    dense = table.groupby("k")[["f1_dense", "auc_dense"]].mean().loc[10]
    assert by_k.loc[10, "f1"] > dense["f1_dense"] > by_k.loc[10, "f1_shuffled"]
    assert by_k.loc[10, "auc"] > dense["auc_dense"] > 0.8
    assert by_k.loc[1, "auc"] < by_k.loc[3, "auc"] < by_k.loc[10, "auc"]
    assert by_k.loc[10, "f1_neurons"] < by_k.loc[10, "f1"]
    assert by_k["auc_shuffled"].between(0.3, 0.7).all()
    for row in table.itertuples():
        latents = [int(name) for name in row.latents.split(",")]
        assert len(latents) == row.k
        if row.k == 3:
            assert {latent // 10 for latent in latents} == {row.value}
    assert item.metrics["f1_of_10"] == pytest.approx(by_k.loc[10, "f1"])
    (tmp_path / "again").mkdir()
    again = probe(world, tmp_path / "again", settings)
    assert read_parquet(again.out / "sparse.parquet").equals(table)


def test_numbers_of_latents_rise() -> None:
    for ks in ((), (0, 1), (2, 2), (5, 1)):
        with pytest.raises(ValueError, match=r"sparse_latents"):
            ProbesSettings(sparse_latents=ks)


def test_a_sparse_probe_is_that_of_a_full_search() -> None:
    """Against the definition, written out: the largest differences, fitted by scikit-learn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score, roc_auc_score

    rng = np.random.default_rng(0)
    units = np.maximum(rng.standard_normal((600, 20)), 0)
    true = units[:, 3] + 0.5 * units[:, 7] + 0.3 * rng.standard_normal(600) > 1
    test = np.arange(600) % 5 == 0
    one, two = sparse.probes(csr_matrix(units), true, test, (1, 2))
    gap = np.abs(units[~test & true].mean(0) - units[~test & ~true].mean(0))
    assert set(two.units) == set(np.argsort(gap)[-2:]) == {3, 7} and one.units.tolist() == [3]
    columns = units[:, two.units] / units[~test][:, two.units].std(0)
    fitted = LogisticRegression(class_weight="balanced").fit(columns[~test], true[~test])
    said = fitted.decision_function(columns[test])
    assert two.f1 == pytest.approx(f1_score(true[test], said > 0))
    assert two.auc == pytest.approx(roc_auc_score(true[test], said))
    assert two.accuracy == pytest.approx(np.mean((said > 0) == true[test]))
    assert sparse.probes(units, true, test, (1, 2))[1][1:] == two[1:]  # dense or not


def test_seeds_are_gathered_by_value_and_number_of_latents(tmp_path: Any) -> None:
    sources = []
    for seed, f1 in enumerate((0.5, 0.7)):
        rows = [
            {"concept": "day", "value": 0, "label": "Monday", "k": k}
            | dict.fromkeys(sparse.MEASURES, f1 * k / 2)
            | {f"{m}_{other}": 0.1 for m in sparse.MEASURES for other in sparse.BESIDE}
            for k in (1, 2)
        ]
        (tmp_path / str(seed)).mkdir()
        write_parquet(pd.DataFrame(rows), tmp_path / str(seed) / "sparse.parquet")
        at = {"model": "m", "site": "s", "layer": 0, "architecture": "topk", "sparsity": 4.0,
              "d_sae": 32, "seed": seed}  # fmt: skip
        sources.append(Source(str(seed), tmp_path / str(seed), at))
    table = sparse_over_seeds(sources)
    assert table["k"].tolist() == [1, 2] and table["seeds"].tolist() == [2, 2]
    assert table["f1_mean"].tolist() == pytest.approx([0.3, 0.6])
    assert table["f1_sd"].tolist() == pytest.approx([0.1 / np.sqrt(2), 0.2 / np.sqrt(2)])
    half = 12.7062 * table["f1_sd"] / np.sqrt(2)  # Student's t of one degree
    assert table["f1_high"].tolist() == pytest.approx((0.3 + half[0], 1), rel=1e-4)
    assert (table["f1_low"] == 0).all()
    assert table["auc_shuffled"].tolist() == pytest.approx([0.1, 0.1])
    alone = sparse_over_seeds(sources[:1])
    assert alone["f1_low"].isna().all() and alone["seeds"].tolist() == [1, 1]
    assert list(sparse_over_seeds([]).columns) == list(SPARSE_COLUMNS)
