"""Claims: q-values, replication, and recovery on SAEs that hold or do not hold a concept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plain import Matrix, Plain

from interpsweep.claims import multiplicity, recovery
from interpsweep.claims.claims import missing
from interpsweep.columns import HELD, PLACE, VALUE_EDGES
from interpsweep.config.analysis import ClaimsSettings, RecoverySettings
from interpsweep.geometry.best_latents import hold
from interpsweep.geometry.recovery import direction_shape, share_table, value_table
from interpsweep.matching import nesting
from interpsweep.sources import Source
from interpsweep.tables import typed, write_json, write_parquet

TOKENS, DIM = 6000, 16
SETTINGS, LEVELS = ClaimsSettings(), RecoverySettings().levels
FLAT = {"parent": None, "parent_of": None}
CONCEPTS = {
    "day": {"shape": "circle", "values": list("abcdefg"), **FLAT},
    "kingdom": {"shape": "tree", "values": ["x", "y"], **FLAT},
    "species": {
        "shape": "tree",
        "values": list("pqrs"),
        "parent": "kingdom",
        "parent_of": [0, 0, 1, 1],
    },
    "filler": {"shape": "categories", "values": ["n", "v"], **FLAT},
}
SIZES = {name: len(concept["values"]) for name, concept in CONCEPTS.items()}


def labels() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, TOKENS)
    species = np.where(kind == 1, rng.integers(0, 4, TOKENS), -1)
    return {
        "day": np.where(kind == 0, rng.integers(0, 7, TOKENS), -1).astype(np.int16),
        "species": species.astype(np.int16),
        "kingdom": np.where(species >= 0, species // 2, -1).astype(np.int16),
        "filler": np.where(kind == 2, rng.integers(0, 2, TOKENS), -1).astype(np.int16),
    }


def perfect(ring_order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and directions: latents 0-6 days, 7-8 kingdoms, 9-12 species, 13-18 filler."""
    given = labels()
    codes = np.zeros((TOKENS, 19), np.float32)
    for name, first in (("day", 0), ("kingdom", 7), ("species", 9)):
        for value in range(SIZES[name]):
            codes[given[name] == value, first + value] = 1
    filler = np.flatnonzero(given["filler"] >= 0)
    codes[filler, 13 + filler % 6] = 1
    rng = np.random.default_rng(1)
    directions = rng.standard_normal((19, DIM)) * 0.2
    t = 2 * np.pi * ring_order / 7
    directions[:7] += np.c_[np.cos(t), np.sin(t), np.ones(7)] @ np.eye(DIM)[:3]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return codes, directions.astype(np.float32)


def sae(ring_order: np.ndarray, shape_of_filler: str = "unresolved") -> recovery.Sae:
    codes, directions = perfect(ring_order)
    holding = hold(Matrix(codes), labels(), SIZES, LEVELS, Plain)
    rows = [
        {"concept": name, "shape": concept["shape"], "parent": concept["parent"] or "", "tiling": 0,
         **direction_shape(concept["shape"], holding.concepts[name], directions)}
        for name, concept in CONCEPTS.items()
    ]  # fmt: skip
    clusters = pd.DataFrame({"cluster": [0] * 7 + [1] * 6, "feature": [*range(7), *range(13, 19)]})
    clusters = clusters.assign(source="cosine", token_id=-1, concept="", value=-1)
    census = [
        {
            "cluster": c,
            "source": "cosine",
            "test": t,
            "best_model": m,
            "p_selected": 0.01,
            "q": 0.02,
        }
        for c, m in ((0, "circle"), (1, shape_of_filler))
        for t in ("circle", "line", "tree", "simplex")
    ]
    return recovery.Sae(
        typed(rows, HELD),
        value_table(CONCEPTS, holding),
        share_table(holding),
        clusters,
        pd.DataFrame(census),
        nested([codes]),
        typed([], VALUE_EDGES),
    )


def ladder(codes: list[np.ndarray]) -> list[nesting.Step]:
    """A family of SAEs; their number stands for their width."""
    readers = [Matrix(one) for one in codes]
    held = [hold(reader, labels(), SIZES, LEVELS, Plain) for reader in readers]
    return [
        nesting.Step(number, reader, value_table(CONCEPTS, holding))
        for number, (reader, holding) in enumerate(zip(readers, held, strict=True))
    ]


def nested(codes: list[np.ndarray]) -> pd.DataFrame:
    """`nested.parquet` of a family, as far as it is about the widest of its SAEs."""
    table = nesting.pairs(CONCEPTS, ladder(codes), Plain)
    return table[table["d_sae"] == len(codes) - 1]


def recovered(name: str, *args: Any) -> dict[str, Any]:
    found = sae(*args)
    (concept,) = found.concepts[found.concepts["concept"] == name].to_dict("records")
    row = recovery.recover(concept, {}, found, SETTINGS)
    row["shape_q"] = row["shape_p"]  # the only order test of the sweep
    return {**row, "verdict": recovery.verdict(row, SETTINGS)}


def test_a_held_and_ordered_circle_is_recovered() -> None:
    row = recovered("day", np.arange(7))
    assert (row["values_held"], row["latents"], row["mean_f1"]) == (7, 7, 1.0)
    assert row["shape_exact"] and row["shape_p"] == pytest.approx(1 / 360)
    assert (row["cluster"], row["cluster_share"], row["cluster_shape"]) == (0, 1.0, "circle")
    assert row["verdict"] == "recovered"


def test_held_values_out_of_order_are_only_part_of_a_circle() -> None:
    row = recovered("day", np.array([0, 3, 6, 2, 5, 1, 4])[[0, 2, 1, 5, 3, 6, 4]])
    assert row["shape_p"] > 0.05 and row["verdict"] == "partly"


def test_faint_firing_does_not_hide_what_a_latent_holds() -> None:
    codes, _ = perfect(np.arange(7))
    codes[np.random.default_rng(4).random(codes.shape) < 0.2] += 0.05
    held = hold(Matrix(codes), labels(), SIZES, (0.0, 0.1), Plain).concepts["day"]
    np.testing.assert_allclose(held.f1, 1)
    np.testing.assert_allclose(held.threshold, 0.105, atol=1e-6)


def test_taxonomy_by_cofiring() -> None:
    row = recovered("species", np.arange(7))
    assert (row["tree_precision"], row["tree_recall"], row["tree_f1"]) == (1, 1, 1)
    assert row["verdict"] == "recovered"
    assert recovered("kingdom", np.arange(7))["verdict"] == "recovered"


def test_absorbed_parents_are_not_counted_as_found() -> None:
    codes, _ = perfect(np.arange(7))
    codes[:, 7:9][codes[:, 9:13].any(axis=1)] = 0  # the parents fall silent on every species
    assert recovery.nesting(nested([codes]), SETTINGS)["tree_recall"] == 0


def test_parents_that_a_wide_sae_split_are_found_in_the_narrow_one() -> None:
    narrow, _ = perfect(np.arange(7))
    wide = narrow.copy()
    wide[:, 7:9] = 0  # the wide SAE has no latents for parents, the narrow one none for species
    narrow[:, 9:13] = 0
    assert recovery.nesting(nested([narrow, wide]), SETTINGS)["tree_f1"] == 1
    assert recovery.nesting(nested([wide]), SETTINGS)["tree_f1"] < 1


def test_pairs_say_which_latents_and_how_often_they_fire_together() -> None:
    codes, _ = perfect(np.arange(7))
    codes[labels()["species"] == 0, 7] = np.arange((labels()["species"] == 0).sum()) % 4 > 0
    table = nested([codes])
    planted = table[table["planted"]].sort_values("value")
    assert planted["parent_value"].tolist() == [0, 0, 1, 1]
    assert planted["feature"].tolist() == [9, 10, 11, 12]
    assert planted["parent_feature"].tolist() == [7, 7, 8, 8]
    np.testing.assert_allclose(planted["cofiring"], [0.75, 1, 1, 1], atol=0.01)
    assert planted["f1"].eq(1).all() and (planted["parent_f1"].iloc[[0, 2]] != 1).tolist() == [
        True,
        False,
    ]
    assert len(table) == 4  # the other pairs never fire together


def test_filler_leads_to_no_claim_unless_the_census_errs() -> None:
    assert recovered("filler", np.arange(7))["verdict"] == "nothing claimed"
    assert recovered("filler", np.arange(7), "circle")["verdict"] == "false claim"


def test_forest_ancestors_count_as_edges() -> None:
    codes, _ = perfect(np.arange(7))
    steps = ladder([codes, codes])
    kingdom, species = range(7, 9), range(9, 13)
    nodes = pd.DataFrame(
        {
            "node": [f"0:{k}" for k in kingdom] + [f"1:{s}" for s in species],
            "parent": ["", ""] + [f"0:{kingdom[i // 2]}" for i in range(3)] + [""],
            "level": [0] * 2 + [1] * 4,
            "d_sae": [0] * 2 + [1] * 4,
        }
    )
    (scores,) = nesting.edges(CONCEPTS, steps, nodes)
    assert scores["concept"] == "species"
    assert scores["edge_recall"] == 0.75 and scores["edge_precision"] == 1
    assert np.isclose(scores["edge_f1"], 6 / 7)
    faint = [step._replace(values=step.values.assign(f1=0.49)) for step in steps]
    assert nesting.edges(CONCEPTS, faint, nodes)[0]["edge_recall"] == 0


def test_what_gathered_items_went_without_is_missing_from_the_claims(tmp_path: Path) -> None:
    lost = {"item": "x", "stage": "meta", "at": {"d_sae": 64}, "reason": "it diverged"}
    write_json({"missing": [lost]}, tmp_path / "summary.json")
    family = {"stage": "agreement", "model": "m", "site": "s"}
    found = {"agreements": [Source("a", tmp_path, family)], "recoveries": []}
    own = {"item": "y", "stage": "geometry", "at": {"model": "m"}, "reason": "it diverged"}
    told = missing({"settings": {"missing": [own, {**lost, "item": "x"}]}}, found)
    assert [(one["item"], one["stage"]) for one in told] == [("y", "geometry"), ("x", "meta")]
    (told,) = missing({"settings": {}}, found)
    assert told == {**lost, "at": {"model": "m", "site": "s", "d_sae": 64}}
    assert missing({"settings": {}}, {"agreements": [], "recoveries": []}) == []


def test_q_values() -> None:
    p = np.array([0.001, 0.02, np.nan, 0.5])
    np.testing.assert_allclose(multiplicity.q_values(p), [0.003, 0.03, np.nan, 0.5])
    table = multiplicity.with_q(
        pd.DataFrame({"p": [0.01, 0.04, 0.01], "test": list("aab")}), ["test"]
    )
    np.testing.assert_allclose(table["q"], [0.02, 0.04, 0.01])
    assert multiplicity.simes(np.array([0.01, 0.5, 0.9])) == pytest.approx(0.03)


def test_no_discoveries_among_uniform_p() -> None:
    """BH controls: over 200 null families of 50 tests, about 5% may make any claim at q = .05."""
    rng = np.random.default_rng(3)
    wrong = [(multiplicity.q_values(rng.random(50)) <= 0.05).any() for _ in range(200)]
    assert np.mean(wrong) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def seeds(folder: Path, edges: pd.DataFrame, *clusters: pd.DataFrame) -> tuple[list[Source], ...]:
    """The match of two seeds, and the items of geometry "A" and "B" about them."""
    at = [dict.fromkeys(PLACE, 0) | {"seed": seed} for seed in (0, 1)]
    write_parquet(edges, folder / "edges.parquet")
    geometries = []
    for name, place, table in zip("AB", at, clusters, strict=True):
        (folder / name).mkdir()
        write_parquet(table, folder / name / "clusters.parquet")
        geometries.append(Source(name, folder / name, place))
    ends = {"direction": "seed", "a": at[0], "b": at[1]}
    return [Source("m", folder, ends)], geometries


def test_clusters_replicate_through_mutual_latents(tmp_path: Path) -> None:
    edges = pd.DataFrame({"a": range(6), "b": [10, 11, 12, 13, 0, 1], "mutual": [True] * 6})
    found = seeds(
        tmp_path,
        edges,
        pd.DataFrame({"source": "cosine", "cluster": [0] * 4, "feature": [0, 1, 2, 3]}),
        pd.DataFrame(
            {"source": "cosine", "cluster": [5] * 4 + [6] * 2, "feature": [10, 11, 12, 14, 0, 1]}
        ),
    )
    partners = multiplicity.cluster_partners(*found, 0.5)
    assert partners == {("A", 0): [("B", 5)], ("B", 5): [("A", 0)], ("B", 6): [("A", -1)]}
    census = pd.DataFrame(
        {"item": ["A", "B", "B"], "cluster": [0, 5, 6], "test": "circle", "p": [0.01, 0.03, 0.2]}
    ).assign(object="directions")
    assert multiplicity.replicate(census, partners, 0.05) == ([2, 2, 2], [2, 2, 0])


def test_a_group_of_tokens_replicates_in_a_part_of_one(tmp_path: Path) -> None:
    edges = pd.DataFrame({"a": [], "b": [], "mutual": []})
    days, months = [1, 2, 3], [4, 5, 6, 7]
    source = ["tokens"] * 7 + ["token parts"] * 7
    one = pd.DataFrame({"source": "tokens", "cluster": [0] * 3 + [1] * 4})
    other = pd.DataFrame({"source": source, "cluster": [0] * 7 + [1] * 3 + [2] * 4})
    found = seeds(
        tmp_path,
        edges,
        one.assign(token_id=days + months, feature=-1),
        other.assign(token_id=2 * (days + months), feature=-1),
    )
    partners = multiplicity.cluster_partners(*found, 0.6)
    assert partners["A", 0] == [("B", 1)] and partners["A", 1] == [("B", 2)]
    assert partners["B", 1] == [("A", 0)] and partners["B", 0] == [("A", -1)]


def test_q_of_tests_inside_selected_clusters() -> None:
    """Simes and BH select two of three clusters; inside, tests face BH at 2/3 of the level."""
    table = pd.DataFrame(
        {
            "source": "cosine",
            "cluster": [0, 0, 1, 1, 2, 2],
            "p": [0.001, 0.9, 0.01, 0.02, 0.6, 0.8],
        }
    )
    q = multiplicity.selected_q(table, ["source"], ["cluster"])
    # Simes: .002, .02, .8; BH over clusters: .006, .03, .8
    # the second test of the first cluster: no level below .9 would do
    np.testing.assert_allclose(q[:4], [0.006, 0.9, 0.03, 0.03])
    assert (q[4:] >= 0.8).all()
    table.loc[1, "p"] = np.nan  # no power: not a test
    assert np.isnan(multiplicity.selected_q(table, ["source"], ["cluster"])[1])


def test_few_clusters_are_selected_without_structure() -> None:
    rng = np.random.default_rng(8)
    wrong = 0
    for _ in range(200):
        table = pd.DataFrame(
            {"source": "a", "cluster": np.repeat(range(15), 4), "p": rng.random(60)}
        )
        wrong += bool((multiplicity.selected_q(table, ["source"], ["cluster"]) <= 0.05).any())
    assert wrong / 200 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_a_cluster_of_kinds_of_tokens_counts_by_its_labels() -> None:
    made = sae(np.arange(7))
    kinds = pd.DataFrame({"feature": -1, "token_id": range(20, 27), "value": range(7)})
    kinds = kinds.assign(cluster=2, source="tokens", concept="day")
    rows = made.census[made.census["cluster"] == 0].assign(cluster=2, source="tokens", q=0.001)
    more = made._replace(
        clusters=pd.concat([made.clusters, kinds]), census=pd.concat([made.census, rows])
    )
    row = recovery.recover(made.concepts.iloc[0].to_dict(), {}, more, SETTINGS)
    assert (row["cluster"], row["cluster_source"], row["cluster_share"]) == (2, "tokens", 1.0)
