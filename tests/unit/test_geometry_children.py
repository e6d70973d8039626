"""Families of trees: dendrograms, parallelograms and shapes of planted and of random children."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from interpsweep.claims import rows
from interpsweep.claims.claims import BRANCH_COLUMNS, GATHERED, branches_with_q
from interpsweep.claims.multiplicity import selected_q
from interpsweep.columns import BRANCHES, DENDROGRAMS, PARALLELOGRAMS
from interpsweep.config.analysis import ChildrenSettings, ClaimsSettings, GeometrySettings
from interpsweep.geometry import children, dendrograms, parallelograms, siblings
from interpsweep.geometry.siblings import Families
from interpsweep.numerics.cosine import unit_rows
from interpsweep.sources import Source, stacked
from interpsweep.tables import typed, write_parquet

D, PARENTS = 48, 12
SETTINGS = ChildrenSettings(triplets=2000, draws=199, null_dictionaries=19)
OF_CLAIMS = ClaimsSettings()
SHAPES_OF_FEW_DRAWS = GeometrySettings(most_draws=199)
Rows = NDArray[np.floating]


class Serial:
    """A context that does one block after the other."""

    @staticmethod
    def block_map(work: Callable, blocks: Iterable, _what: str) -> list:
        return [work(block) for block in blocks]


def random_rows(n: int, seed: int) -> NDArray[np.float32]:
    return unit_rows(np.random.default_rng(seed).standard_normal((n, D)))


def family_of(children: Rows, parent: list[int], narrow: Rows, others: int = 150) -> Families:
    """Families with the given children, followed by other latents of the wide SAE."""
    wide = unit_rows(np.concatenate([children, random_rows(others, 99)]))
    at = {"seed": 0, "level": 1, "d_narrow": len(narrow), "d_wide": len(wide)}
    order = np.argsort(parent, kind="stable")
    every = np.arange(len(wide))
    return Families(
        at, unit_rows(narrow), wide, every, every[order], np.array(parent, np.int64)[order]
    )


def hierarchy(size: int, spread: float, seed: int) -> Families:
    """`size` children of each of `PARENTS` parents, random but for what they have of the parent."""
    narrow = random_rows(PARENTS, seed)
    parent = np.repeat(np.arange(PARENTS), size)
    return family_of(narrow[parent] + spread * random_rows(len(parent), seed + 1), parent, narrow)


def with_offset(offset: float, seed: int) -> Families:
    """Two children of every parent; the second differs from the first by a common direction."""
    narrow = random_rows(PARENTS, seed)
    first = narrow + 0.5 * random_rows(PARENTS, seed + 1)
    common = offset * random_rows(1, seed + 2)
    second = first + common + 0.3 * random_rows(PARENTS, seed + 3)
    return family_of(np.concatenate([first, second]), [*range(PARENTS)] * 2, narrow)


def test_siblings_are_joined_first_where_the_hierarchy_is_planted() -> None:
    found = dendrograms.measure(hierarchy(4, 0.4, 0), SETTINGS)
    assert (found["children"], found["families"], found["largest"]) == (48, 12, 4)
    assert found["triplets"] == 1.0 and found["triplets_p"] == pytest.approx(1 / 200)
    assert found["triplets_null"] == pytest.approx(1 / 3, abs=0.03)
    assert found["cophenetic"] > 0.9 and found["cophenetic_p"] == pytest.approx(1 / 200)
    # they lie near their parents, and nothing more
    assert found["triplets_beside"] == pytest.approx(1.0, abs=0.01)
    assert found["triplets_beside_p"] > 0.05


def test_random_children_agree_by_chance() -> None:
    p, few = [], SETTINGS.model_copy(update={"triplets": 500, "draws": 99})
    for seed in range(30):
        narrow = random_rows(PARENTS, 3 * seed)
        parent = np.repeat(np.arange(PARENTS), 3)
        step = family_of(random_rows(len(parent), 3 * seed + 1), parent, narrow)
        found = dendrograms.measure(step, few)
        p.append(found["triplets_p"])
        assert abs(found["triplets"] - 1 / 3) < 0.25 and abs(found["cophenetic"]) < 0.15
    assert 0.3 < np.mean(p) < 0.7 and np.mean(np.array(p) <= 0.05) <= 0.17


def test_siblings_nearer_to_each_other_than_their_parent_makes_them_are_beyond_the_null() -> None:
    narrow = random_rows(PARENTS, 7)
    parent = np.repeat(np.arange(PARENTS), 4)
    common = random_rows(PARENTS, 8)  # of siblings, and not of their parent
    children = 0.3 * narrow[parent] + common[parent] + 0.6 * random_rows(len(parent), 9)
    found = dendrograms.measure(family_of(children, parent, narrow), SETTINGS)
    assert found["triplets"] > found["triplets_beside"] + 0.2
    assert found["triplets_beside_p"] == found["cophenetic_beside_p"] == pytest.approx(1 / 20)


def test_agreement_is_that_of_a_dendrogram_read_by_hand() -> None:
    angle = np.deg2rad([0, 5, 40, 90, 92])
    rows = np.column_stack([np.cos(angle), np.sin(angle)])
    tree = dendrograms.dendrogram(rows)
    assert tree.merge[3, 4] == 1 and tree.merge[0, 1] == 2
    assert tree.merge[0, 2] == tree.merge[1, 2] == 3 and tree.merge[0, 3] == 4
    triplets = np.array([[0, 1, 3], [0, 2, 3], [0, 2, 1], [3, 4, 0]])
    pairs = np.array([[0, 1], [3, 4]])
    joined, correlation = dendrograms.agreement(tree, dendrograms.Labels(triplets, pairs))
    assert joined == 0.75
    same = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    height = tree.height[np.triu_indices(5, 1)]
    assert correlation == pytest.approx(-np.corrcoef(height, same)[0, 1])


def test_triplets_have_two_siblings_and_one_other() -> None:
    parent = np.repeat([3, 5, 9, 11], [1, 2, 5, 1])
    labels = dendrograms.labelled(parent, 4000, np.random.default_rng(0))
    a, b, c = labels.triplets.T
    assert (parent[a] == parent[b]).all() and (parent[a] != parent[c]).all() and (a != b).all()
    assert np.mean(parent[a] == 5) == pytest.approx(0.5, abs=0.04)  # families count alike
    assert np.bincount(c, minlength=9).min() > 0
    assert len(labels.pairs) == 1 + 10 and (parent[labels.pairs].std(axis=1) == 0).all()


def test_a_dendrogram_is_bounded_by_whole_parents_but_for_one() -> None:
    step = hierarchy(4, 0.4, 0)
    child, parent = dendrograms.some(step, 22, np.random.default_rng(0))
    assert len(child) == 22 and sorted(np.unique(parent, return_counts=True)[1]) == [2] + [4] * 5
    mother = dict(zip(step.child.tolist(), step.parent.tolist(), strict=True))
    assert [mother[w] for w in child.tolist()] == parent.tolist()


def test_parallelograms_are_found_where_every_family_has_the_same_offset() -> None:
    found = parallelograms.measure(with_offset(1.2, 0), SETTINGS)
    assert (found["families"], found["pairs"]) == (PARENTS, PARENTS)
    assert found["score"] > 0.8 > found["score_null"] + 0.2 and found["above"] == 1.0
    assert found["score_p"] == found["above_p"] == pytest.approx(1 / 200)


def test_without_an_offset_there_are_no_more_parallelograms_than_by_chance() -> None:
    found = [parallelograms.measure(with_offset(0.0, 10 * seed), SETTINGS) for seed in range(30)]
    p = np.array([one["score_p"] for one in found])
    assert 0.3 < p.mean() < 0.7 and np.mean(p <= 0.05) <= 0.17
    assert np.mean([one["above"] for one in found]) < 0.12


def test_pairs_of_siblings_share_no_latent_and_are_bounded() -> None:
    step = hierarchy(11, 0.4, 0)
    family, pairs = parallelograms.siblings(step, 1000, np.random.default_rng(0))
    assert len(pairs) == PARENTS * parallelograms.PAIRS and len(np.unique(pairs)) == pairs.size
    mother = dict(zip(step.child.tolist(), step.parent.tolist(), strict=True))
    assert [mother[a] for a in pairs[:, 0]] == [mother[b] for b in pairs[:, 1]] == family.tolist()
    assert len(parallelograms.siblings(step, 5, np.random.default_rng(0))[1]) == 5


def test_random_pairs_have_nearly_the_cosine_of_siblings() -> None:
    values = np.array([0.0, 0.1, 0.2, 0.5, 0.55, 0.9])
    near = parallelograms.nearest(values, np.array([-1.0, 0.16, 0.53, 2.0]), 2)
    assert near.tolist() == [[0, 1], [1, 2], [3, 4], [4, 5]]
    found = parallelograms.measure(hierarchy(3, 1.5, 4), SETTINGS)
    assert found["cosine_null"] == pytest.approx(found["cosine"], abs=0.05)
    known, _ = parallelograms.random_pairs(hierarchy(3, 1.5, 4), np.random.default_rng(0))
    assert not {(3 * n, 3 * n + 1) for n in range(PARENTS)} & set(map(tuple, known.tolist()))


def test_null_children_are_as_near_to_their_parents_and_elsewhere() -> None:
    step = hierarchy(4, 0.7, 0)
    rng = np.random.default_rng(0)
    rows = siblings.null_rows(step, 100, rng)
    null = siblings.null_children(step, step.child, step.parent, rows, rng)
    own = np.sum(step.wide[step.child] * step.narrow[step.parent], axis=1)
    np.testing.assert_allclose(np.sum(null * step.narrow[step.parent], axis=1), own, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(null, axis=1), 1)
    assert np.sum(null * step.wide[step.child], axis=1).mean() < 0.9


def test_children_on_a_circle_round_their_parent_are_found_and_no_others() -> None:
    narrow, size = random_rows(PARENTS, 0), 9
    angle = 2 * np.pi * np.arange(size) / size
    plane = np.linalg.qr(random_rows(3, 1).T)[0][:, :2].T
    ring = narrow[0] + 0.9 * (np.cos(angle)[:, None] * plane[0] + np.sin(angle)[:, None] * plane[1])
    parent = np.repeat(np.arange(4), [size, size, size, 4])
    cloud = narrow[parent[size:]] + 0.9 * random_rows(len(parent) - size, 2)
    step = family_of(np.concatenate([ring + 0.1 * random_rows(size, 3), cloud]), parent, narrow)
    shapes = SHAPES_OF_FEW_DRAWS.model_copy(update={"most_draws": 999})
    rows = children.branches(step, SETTINGS, shapes, Serial())
    table = pd.DataFrame(rows)
    table["q"] = selected_q(table.assign(source="tree"), ["source"], ["parent"], "p_selected")
    assert sorted(table["parent"].unique()) == [0, 1, 2]  # four children are too few
    circle = table[table["test"] == "circle"].set_index("parent")
    assert circle.loc[0, "q"] <= 0.05 and circle.loc[0, "best_model"] == "circle"
    assert (table.loc[table["parent"] != 0, "q"] > 0.05).all()
    turn = np.array(circle.loc[0, "order"].split(",")).astype(int)
    assert set((np.diff(turn) % size).tolist()) in ({1}, {size - 1})


def test_shapes_of_random_children_near_a_parent_are_found_as_rarely_as_the_level_says() -> None:
    p: dict[str, list[float]] = {}
    for seed in range(12):
        step = hierarchy(7, 1.2, 100 + 5 * seed)
        step.at["seed"] = seed
        for row in children.branches(step, SETTINGS, SHAPES_OF_FEW_DRAWS, Serial()):
            p.setdefault(row["test"], []).append(row["p_selected"])
    assert {"circle", "line", "tree"} <= p.keys() and "simplex" not in p
    for found in p.values():
        assert np.mean(np.array(found) <= 0.05) <= 0.11  # of 144; more has probability below .003


def test_only_the_largest_families_and_a_part_of_a_crowd_are_tested() -> None:
    shapes = SHAPES_OF_FEW_DRAWS.model_copy(update={"max_cluster": 6})
    few = SETTINGS.model_copy(update={"parents": 3})
    rows = children.branches(hierarchy(8, 1.2, 0), few, shapes, Serial())
    assert {row["parent"] for row in rows} == {0, 1, 2}
    assert {(row["children"], row["size"]) for row in rows} == {(8, 6)}


def test_no_trees_and_no_families_give_typed_tables() -> None:
    made = children.tables([], SETTINGS, SHAPES_OF_FEW_DRAWS, Serial())
    assert list(made) == ["branches", "dendrograms", "parallelograms"]
    for table, columns in zip(made.values(), (BRANCHES, DENDROGRAMS, PARALLELOGRAMS), strict=True):
        assert table.empty and list(table.columns) == list(columns)
    claims, branches = gathered([])
    assert list(branches.columns) == list(BRANCH_COLUMNS)
    assert rows.of_families(branches, OF_CLAIMS).empty and rows.of_steps(claims, OF_CLAIMS).empty
    step = family_of(np.zeros((0, D)), [], random_rows(PARENTS, 0))
    assert dendrograms.measure(step, SETTINGS) == {"children": 0, "families": 0, "largest": 0}
    assert parallelograms.measure(step, SETTINGS) == {"families": 0, "pairs": 0}
    assert children.branches(step, SETTINGS, SHAPES_OF_FEW_DRAWS, Serial()) == []


def gathered(items: list[Source]) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """The tables of children that the claims put under each other, and `branches` with q."""
    steps = {
        name: typed(stacked(items, name), GATHERED[name][2])
        for name in ("dendrograms", "parallelograms")
    }
    return steps, branches_with_q(items)


def test_families_and_steps_are_claims(tmp_path: Path) -> None:
    planted, random = with_offset(1.0, 0), hierarchy(7, 1.2, 1)
    items = []
    for seed, step in enumerate((planted, random)):
        step.at["seed"], folder = seed, tmp_path / str(seed)
        folder.mkdir()
        made = children.tables([step], SETTINGS, SHAPES_OF_FEW_DRAWS, Serial())
        for name, table in made.items():
            write_parquet(table, folder / f"{name}.parquet")
        at = {"model": "m", "site": "s", "layer": 0, "architecture": "topk", "sparsity": 4.0}
        items.append(Source(str(seed), folder, {**at, "seed": seed}))
    steps, branches = gathered(items)
    claims = rows.assemble(
        [rows.of_families(branches, OF_CLAIMS), rows.of_steps(steps, OF_CLAIMS)], OF_CLAIMS
    )
    family, step = (claims[claims["kind"] == kind] for kind in ("family", "width step"))
    assert len(family) == branches["p_selected"].notna().sum()
    assert set(family["subject"]) <= {f"12->{len(random.wide)}, children of {n}" for n in range(12)}
    assert sorted(step["test"].unique()) == ["cophenetic", "parallelograms", "triplets"]
    assert (step["seeds"] == 1).all()  # these two steps are of different widths
    claimed = step[(step["verdict"] == "claimed") & (step["test"] == "parallelograms")]
    assert claimed["seed"].tolist() == [0]
