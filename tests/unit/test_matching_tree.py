"""The width ladder on dictionaries written down by formula: what the tree must say about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from plain import Matrix, Plain

from interpsweep.config.analysis import MatchSettings, TreeSettings
from interpsweep.matching import traces
from interpsweep.matching.edges import Level
from interpsweep.matching.match import match
from interpsweep.matching.sides import Side
from interpsweep.matching.tree import Step, build
from interpsweep.numerics.cosine import unit_rows
from interpsweep.saes.firing import Firing, firing_statistics

LEVEL = MatchSettings().firing_level
TOKENS, DIM, PARENTS, CHILDREN, OTHERS = 40_000, 64, 3, 3, 8


class World:
    """Parents with exclusive children and independent features, all orthonormal."""

    def __init__(self, child_p: float, child_size: float, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        q, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
        self.parent = q[:PARENTS]
        self.child = q[PARENTS : PARENTS + PARENTS * CHILDREN].reshape(PARENTS, CHILDREN, DIM)
        self.other = q[-OTHERS:]
        self.on = rng.random((TOKENS, PARENTS)) < 0.15
        draw = rng.random((TOKENS, PARENTS))
        which = np.where(draw < CHILDREN * child_p, (draw / child_p).astype(int), -1)
        self.which = np.where(self.on, which, -1)
        self.other_on = rng.random((TOKENS, OTHERS)) < 0.05
        self.size, self.p = child_size, child_p
        self.x = self.on @ self.parent + self.other_on @ self.other
        for i in range(PARENTS):
            for c in range(CHILDREN):
                self.x += child_size * (self.which[:, i] == c)[:, None] * self.child[i, c]

    def narrow(self) -> tuple[np.ndarray, np.ndarray]:
        """Top eigenvector of E[x x' | parent] and the projection on it; the others as they are."""
        q, m = self.p, self.size
        second = np.zeros((4, 4))
        second[0] = second[:, 0] = [1, *[q * m] * 3]
        second[1:, 1:] = np.diag([q * m * m] * 3)
        top = np.abs(np.linalg.eigh(second)[1][:, -1])
        rows = [top[0] * self.parent[i] + top[1:] @ self.child[i] for i in range(PARENTS)]
        strength = [
            np.where(self.on[:, i], top[0] + m * top[1] * (self.which[:, i] >= 0), 0)
            for i in range(PARENTS)
        ]
        return np.vstack([rows, self.other]), np.column_stack([*strength, self.other_on])

    def absorbing(self) -> tuple[np.ndarray, np.ndarray]:
        """Parents silent where a child is on; children carry parent + child."""
        rows, codes = (
            [*self.parent],
            [self.on[:, i] & (self.which[:, i] < 0) for i in range(PARENTS)],
        )
        for i in range(PARENTS):
            for c in range(CHILDREN):
                rows.append(self.parent[i] + self.size * self.child[i, c])
                codes.append(self.which[:, i] == c)
        return np.vstack([*rows, self.other]), np.column_stack([*codes, self.other_on])

    def splitting(self) -> tuple[np.ndarray, np.ndarray]:
        """No parent latents: one latent per child, parent and child together."""
        rows, codes = self.absorbing()
        return rows[PARENTS:], codes[:, PARENTS:]

    def cofiring(self) -> tuple[np.ndarray, np.ndarray]:
        """Parents always fire, children only add themselves (what a nested SAE should learn)."""
        rows, codes = self.absorbing()
        rows, codes = rows.copy(), codes.astype(float)
        codes[:, :PARENTS] = self.on
        for i in range(PARENTS):
            for c in range(CHILDREN):
                rows[PARENTS + CHILDREN * i + c] = 0.5 * self.parent[i] + self.child[i, c]
        return rows, codes


def side(rows: np.ndarray, codes: np.ndarray, level: float = LEVEL) -> Side:
    plain = Matrix(sp.csr_matrix(codes * np.linalg.norm(rows, axis=1), dtype=np.float32))
    folded = Firing.above(plain, level)
    count, mean = firing_statistics(folded, Plain.block_map)
    return Side(unit_rows(rows), unit_rows(rows), np.zeros(DIM, np.float32), folded, count, mean)


def ladder(
    world: World,
    wide: tuple[np.ndarray, np.ndarray],
    narrow: tuple[np.ndarray, np.ndarray] | None = None,
    level: float = LEVEL,
) -> tuple[Any, ...]:
    a, b = side(*(narrow or world.narrow()), level), side(*wide, level)
    x = Matrix(world.x.astype(np.float32))
    pairs, features, summary = match(a, b, x, 0, MatchSettings(), Plain())
    step = as_step(pairs, features, summary)
    levels = [Level(s.decoder, s.encoder, s.count, s.mean) for s in (a, b)]
    nodes, edges, made = build(levels, [a.codes, b.codes], [step], TreeSettings(), Plain())
    return nodes, edges, made, pairs, summary


def as_step(pairs: Any, features: Any, summary: Any) -> Step:
    return Step(
        pairs,
        features.loc[features["side"] == "b", "delta_mse"].to_numpy(),
        summary["null_covariance"]["q999"],
        summary["stitching"]["threshold"],
    )


def linked(a: Side, b: Side, x: Matrix) -> Step:
    return as_step(*match(a, b, x, 0, MatchSettings(), Plain()))


@pytest.fixture(scope="module")
def absorption() -> tuple[Any, ...]:
    world = World(child_p=0.2, child_size=1.0)
    return ladder(world, world.absorbing())


@pytest.fixture(scope="module")
def split() -> tuple[Any, ...]:
    world = World(child_p=1 / 3, child_size=0.5)
    return ladder(world, world.splitting())


def test_absorption_ladder_has_exactly_its_edges(absorption: tuple[Any, ...]) -> None:
    counts = absorption[2]["steps"][0]["counts"]
    assert {k: n for k, n in counts.items() if n} == {
        "identity": 8,
        "identity_with_holes": 3,
        "absorption": 9,
    }


def test_absorption_numbers(absorption: tuple[Any, ...]) -> None:
    edges = absorption[1]
    holes = edges[edges["type"] == "identity_with_holes"]
    child = edges[edges["type"] == "absorption"]
    # top eigenvector of E[xx'|parent]: cosine .937 with the parent, .202 with each child
    np.testing.assert_allclose(holes["cosine"], 0.937, atol=0.001)
    np.testing.assert_allclose(child["cosine"], (0.937 + 0.202) / np.sqrt(2), atol=0.001)
    np.testing.assert_allclose(holes["p_w_given_n"], 0.40, atol=0.03)
    np.testing.assert_allclose(child["p_w_given_n"], 0.20, atol=0.03)
    np.testing.assert_allclose(child["p_match_given_w"], 0, atol=1e-9)
    np.testing.assert_allclose(child["r_match"], 1, atol=1e-5)
    np.testing.assert_allclose(child["r_child"], 0.5, atol=1e-5)
    assert (edges["p"] < 0.05).all()  # a few dozen null dictionaries of 20 latents


def test_absorption_is_conserved_and_measured(absorption: tuple[Any, ...]) -> None:
    nodes, edges = absorption[0], absorption[1]
    child = edges[edges["type"] == "absorption"]
    # E[a_w C_wn] / E[a_i C_in]: (.937 + .202) / .937, the narrow latent being hedged by the
    # children
    np.testing.assert_allclose(child["conservation"], 1 + 0.202 / 0.937, atol=0.01)
    # a_w C_wn over x . d_n: all of the parent's projection, up to the independent features
    np.testing.assert_allclose(child["projection_share"], 1, atol=0.01)
    parents = nodes[(nodes["level"] == 0) & (nodes["latent"] < PARENTS)]
    np.testing.assert_allclose(parents["hole_rate"], 0.6, atol=0.03)
    np.testing.assert_allclose(parents["absorption_rate"], 0.6, atol=0.03)


def test_hedging_is_how_far_a_parent_leans_into_its_children(absorption: tuple[Any, ...]) -> None:
    nodes, summary = absorption[0], absorption[2]["steps"][0]
    parents = nodes[(nodes["level"] == 0) & (nodes["latent"] < PARENTS)]
    # three orthogonal children with .202 of the parent's direction each
    np.testing.assert_allclose(parents["hedging"], np.sqrt(3) * 0.202, atol=0.002)
    assert (parents["hedging_null"] < 0.15).all()
    assert nodes.loc[nodes["level"] == 1, "hedging"].isna().all()
    assert summary["mean_hedging"] > 3 * summary["mean_hedging_null"]


def test_absorption_leaves_a_mark_in_the_encoder() -> None:
    """The parent's latent reads f0 - f1 to be silent where the child's, along f0 + f1, fires."""
    axes = np.eye(4, dtype=np.float32)
    decoder = unit_rows(np.stack([axes[0], axes[0] + axes[1], axes[2]]))
    encoder = unit_rows(np.stack([axes[0] - axes[1], axes[1], axes[2]]))
    wide = Level(decoder, encoder, np.array([9, 9, 9]), np.ones(3))
    signature = traces.encoder_signature(np.array([0, 0]), np.array([1, 2]), wide)
    np.testing.assert_allclose(signature, [-np.sqrt(0.5), 0], atol=1e-6)


def test_activation_counts_where_firings_are_noise(absorption: tuple[Any, ...]) -> None:
    """Faint firings elsewhere lower P(n|w), and the share of activation by what they carry."""
    edges = absorption[1]
    np.testing.assert_allclose(edges["mass_n_given_w"], 1, atol=1e-6)
    assert (edges["covered_by_n"] <= edges["mass_n_given_w"]).all()
    child = edges["type"] == "absorption"
    # a child's share of the narrow latent's activation is more than its share of the firings
    assert (edges.loc[child, "mass_w_given_n"] > edges.loc[child, "p_w_given_n"]).all()


def test_mixtures_of_unrelated_features_are_unmixed_not_split() -> None:
    """One narrow latent for two features that share nothing becomes one latent for each."""
    world = World(child_p=0.2, child_size=1.0)
    rows, codes = world.other[:2], world.other_on[:, :2].astype(float)
    mixed = unit_rows(rows.sum(0, keepdims=True)), codes.sum(1, keepdims=True)
    rest = world.other[2:], world.other_on[:, 2:].astype(float)
    narrow = np.vstack([mixed[0], rest[0]]), np.column_stack([mixed[1], rest[1]])
    edges = ladder(world, (world.other, world.other_on.astype(float)), narrow)[1]
    parts = edges[edges["n"] == 0]
    assert set(parts["type"]) == {"split"} and "unmixed" in set(parts["subtype"])
    assert (edges.loc[edges["n"] != 0, "type"] == "identity").all()


def test_split_ladder(split: tuple[Any, ...]) -> None:
    nodes, edges, made, *_ = split
    counts = made["steps"][0]["counts"]
    assert {k: n for k, n in counts.items() if n} == {"identity": 8, "split": 9}
    children = edges[edges["type"] == "split"]
    np.testing.assert_allclose(children["p_w_given_n"], 1 / 3, atol=0.03)
    np.testing.assert_allclose(children["cosine"], 0.93, atol=0.01)
    np.testing.assert_allclose(children["coverage"], 1, atol=1e-6)
    parents = nodes[(nodes["level"] == 0) & (nodes["latent"] < PARENTS)]
    assert not parents["survives"].any()
    assert (parents["n_children"] == CHILDREN).all()
    assert made["steps"][0]["branching_max"] == 3


def test_cofiring_children_are_specialisations() -> None:
    world = World(child_p=0.2, child_size=1.0)
    counts = ladder(world, world.cofiring())[2]["steps"][0]["counts"]
    assert counts["identity"] == PARENTS + OTHERS
    assert counts["specialisation"] == PARENTS * CHILDREN


def test_a_latent_that_nearly_always_fires_has_no_specialisations() -> None:
    """Everything is covered by it, but neither more than by chance nor in its direction."""
    world = World(child_p=0.2, child_size=1.0)
    rng = np.random.default_rng(5)
    always = (rng.random(len(world.on)) < 0.97).astype(float)
    bias = rng.standard_normal(DIM)

    def extended(rows: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.vstack([rows, bias]), np.column_stack([codes, always])

    world_narrow = extended(*world.narrow())
    world.narrow = lambda: world_narrow  # type: ignore[method-assign]
    edges = ladder(world, extended(*world.cofiring()))[1]
    constant = len(world_narrow[0]) - 1
    assert not (edges["type"].eq("specialisation") & edges["n"].eq(constant)).any()
    assert (edges["type"] == "specialisation").sum() == PARENTS * CHILDREN


def test_faint_firings_do_not_count() -> None:
    """Codes that fire faintly everywhere give the same tree, but only above the firing level."""
    world = World(child_p=0.2, child_size=1.0)
    rng = np.random.default_rng(7)

    def faint(rows: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        noise = rng.uniform(0.01, 0.1, codes.shape) * (rng.random(codes.shape) < 0.1)
        return rows, np.where(codes > 0, codes, noise)

    narrow, wide = faint(*world.narrow()), faint(*world.absorbing())
    above, plain = (ladder(world, wide, narrow, level) for level in (LEVEL, 0.0))
    exact = ladder(world, world.absorbing())
    assert above[2]["steps"][0]["counts"] == exact[2]["steps"][0]["counts"]
    assert plain[2]["steps"][0]["counts"]["other"] >= PARENTS * CHILDREN
    names = ["n", "w", "p_n_given_w", "holes", "attenuation", "coverage"]
    np.testing.assert_array_equal(above[1][names], exact[1][names])
    # what a latent adds to the reconstruction is a matter of all its codes
    np.testing.assert_array_equal(above[4]["stitching"]["mse_a"], plain[4]["stitching"]["mse_a"])


def test_forest_is_a_forest(absorption: tuple[Any, ...]) -> None:
    nodes = absorption[0].set_index("node")
    assert (nodes.loc[nodes["level"] == 0, "parent"] == "").all()
    below = nodes[nodes["parent"] != ""]
    assert (nodes.loc[below["parent"], "level"].to_numpy() == below["level"].to_numpy() - 1).all()
    assert nodes.loc[nodes["parent"] == "", "size"].sum() == len(nodes)


def test_a_width_that_lacks_a_parent_is_skipped() -> None:
    """The middle dictionary has no parents: children hang below those of the narrow one."""
    world = World(child_p=0.2, child_size=1.0)
    rows, codes = world.narrow()
    sides = [
        side(rows, codes),
        side(rows[PARENTS:], codes[:, PARENTS:]),
        side(*world.absorbing()),
    ]
    x = Matrix(world.x.astype(np.float32))
    steps = {ends: linked(sides[ends[0]], sides[ends[1]], x) for ends in ((0, 1), (1, 2), (0, 2))}
    levels = [Level(s.decoder, s.encoder, s.count, s.mean) for s in sides]
    adjacent = [steps[0, 1], steps[1, 2]]
    arguments = (levels, [s.codes for s in sides], adjacent, TreeSettings(), Plain())
    alone, (nodes, edges, made) = build(*arguments), build(*arguments, {(0, 2): steps[0, 2]})
    assert alone[2]["births"] == PARENTS * (1 + CHILDREN) and alone[2]["skipped"] == 0
    assert made["births"] == 0 and made["skipped"] == PARENTS * (1 + CHILDREN)
    # what becomes of neighbouring widths is as it was
    for before, after in zip(alone[2]["steps"], made["steps"], strict=True):
        assert before["counts"] == after["counts"]
    skipping = edges[edges["step"] == 2]
    expected = {"absorption": PARENTS * CHILDREN, "identity_with_holes": PARENTS}
    assert skipping["type"].value_counts().to_dict() == expected
    assert skipping["source"].str.startswith("0:").all() and (skipping["level"] == 2).all()
    below = nodes[nodes["step"] == 2]
    assert set(below["node"]) == set(skipping["target"])
    assert set(below["type"]) == set(expected) and (below["depth"] == 1).all()
    # a latent that is there again two widths on has not survived the next one
    assert not nodes.loc[(nodes["level"] == 0) & (nodes["latent"] < PARENTS), "survives"].any()


def test_nulls_of_the_match(absorption: tuple[Any, ...]) -> None:
    pairs, summary = absorption[3], absorption[4]
    assert summary["mmcs_ab"] > 0.95 > summary["null_rotated"]["mmcs_ab"] + 0.3
    assert summary["p_mmcs_rotated"] == pytest.approx(1 / 40)
    assert summary["shifted"]["pairs_covered"] >= 20
    assert summary["shifted"]["pairs_covered_null"] == 0
    shifted = pairs["n_ab_shifted"] * TOKENS / (pairs["n_a"] * pairs["n_b"])
    assert abs(np.average(shifted, weights=pairs["n_a"] * pairs["n_b"]) - 1) < 0.02
