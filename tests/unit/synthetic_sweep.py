"""Tables of a made-up sweep in the layout of docs/tables.md, for tests of figures and report.

The numbers follow simple rules (no randomness without a seed), so every picture can be judged by
eye: a circle of weekdays, a few splits, one absorption, seeds that differ a little.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from synthetic_matches import contrasts, write_match

from interpsweep.claims import complexes, dendrograms, parallelograms
from interpsweep.claims.claims import CONCEPT_RELATION_COLUMNS
from interpsweep.claims.nested import LEVEL_COLUMNS
from interpsweep.claims.planted import SCORE_COLUMNS
from interpsweep.claims.relations import RELATION_COLUMNS
from interpsweep.tables import typed, write_json, write_parquet

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
LETTERS = list("abcdefgh")
TYPES = ["identity", "identity_with_holes", "absorption", "split", "composition", "novel", "other"]
FAMILY_COLUMNS = ["site", "level", "type", "fraction"]  # what an empty table still needs
TESTS = ("circle", "line", "tree", "simplex")


@dataclass
class SyntheticSweep:
    """Writes items below `root` and remembers their digests, paths and coordinates."""

    root: Path
    sites: tuple[str, ...] = ("blocks.2.hook_resid_post", "blocks.8.hook_resid_post")
    widths: tuple[int, ...] = (512, 2048)
    seeds: tuple[int, ...] = (0, 1)
    model: str = "toy-calendar"
    items: dict[str, tuple[Path, dict[str, Any]]] = field(default_factory=dict)

    def build(self) -> SyntheticSweep:
        """Write all items."""
        for site in self.sites:
            self._site(site)
        self._claims()
        return self

    def of(self, *stages: str, **at: Any) -> dict[str, list[str]]:
        """Digests by stage of the items at some coordinates, as a figure's inputs."""
        return {
            stage: [
                digest
                for digest, (_, coordinates) in self.items.items()
                if coordinates["stage"] == stage
                and all(coordinates.get(k) == v for k, v in at.items())
            ]
            for stage in stages
        }

    def paths(self, inputs: dict[str, list[str]]) -> dict[str, list[Path]]:
        """The folders of some inputs."""
        return {role: [self.items[d][0] for d in digests] for role, digests in inputs.items()}

    def index(self, inputs: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
        """The coordinates of some inputs."""
        return {d: self.items[d][1] for digests in inputs.values() for d in digests}

    def item(self, stage: str, **at: Any) -> Path:
        """A new, empty item folder."""
        digest = hashlib.sha256(repr((stage, sorted(at.items(), key=str))).encode()).hexdigest()
        path = self.root / stage / f"made-{digest[:16]}"
        path.mkdir(parents=True)
        self.items[digest] = (path, {"stage": stage, **at})
        self.finish(path, {}, {}, {})
        return path

    def finish(self, path: Path, settings: dict, inputs: dict, metrics: dict) -> None:
        """Write the manifest of an item; one that says nothing else is there from the start."""
        digest = next(d for d, (p, _) in self.items.items() if p == path)
        stage = self.items[digest][1]["stage"]
        spec = {"stage": stage, "version": 1, "settings": settings, "inputs": inputs}
        manifest = {
            "digest": digest,
            "stage": stage,
            "spec": spec,
            "metrics": metrics,
            "files": {},
            "versions": {"interpsweep": "0.1.0", "numpy": "2.0"},
        }
        write_json(manifest, path / "manifest.json")

    def place(self, site: str, **more: Any) -> dict[str, Any]:
        """Coordinates of a site."""
        return {"model": self.model, "site": site, "layer": int(site.split(".")[1]), **more}

    def saes(self, site: str) -> list[dict[str, Any]]:
        """Coordinates of all SAEs of a site."""
        recipe = {"architecture": "batchtopk", "sparsity": 32}
        return [
            self.place(site, **recipe, d_sae=w, seed=s) for w in self.widths for s in self.seeds
        ]

    def _site(self, site: str) -> None:
        concepts = self.item("concepts", **self.place(site))
        write_parquet(concept_table(), concepts / "concepts.parquet")
        write_parquet(mean_table(), concepts / "means.parquet")
        for at in self.saes(site):
            rng = np.random.default_rng([at["layer"], at["d_sae"], at["seed"]])
            write_parquet(training_log(at, rng), self.item("train", **at) / "training.parquet")
            write_parquet(contexts(at["d_sae"]), self.item("encode", **at) / "contexts.parquet")
            self._evaluation(at, rng)
            self._geometry(at, rng)
            write_parquet(landscape(rng), self.item("landscape", **at) / "measures.parquet")
            write_parquet(probed(rng), self.item("probe", **at) / "values.parquet")
        for seed in self.seeds:
            self._tree(site, seed)
        self._matches(site)

    def _evaluation(self, at: dict[str, Any], rng: np.random.Generator) -> None:
        out = self.item("evaluate", **at)
        write_parquet(latents(at["d_sae"], rng), out / "latents.parquet")
        for by, table in error_groups(at, rng).items():
            write_parquet(table, out / f"{by}.parquet")
        write_json({"nearest_cosine_random.v2": 0.3 + at["d_sae"] / 20_000}, out / "metrics.json")

    def _geometry(self, at: dict[str, Any], rng: np.random.Generator) -> None:
        out = self.item("geometry", **at)
        write_parquet(embedding(at["d_sae"], rng), out / "embedding.parquet")
        write_parquet(spectrum(at["d_sae"]), out / "spectrum.parquet")
        write_parquet(panel_points(rng), out / "panels.parquet")
        census = [
            {
                "cluster": c,
                "size": 7,
                "test": t,
                "p_selected": np.nan
                if (c, t) == (3, "simplex")
                else 0.002 + 0.03 * c + 0.1 * (t != "circle"),
                "statistic": 0.7,
                "null_mean": 0.4,
                "null_sd": 0.05,
                "source": "tokens",
                "best_model": "circle" if c else "unresolved",
                "cloud_rows": 200,
                "p_loop": (0.001, 0.3, np.nan, 0.04)[c],
                "loop_power": "no power below 5 bars" if c == 2 else "",
            }
            for c in range(4)
            for t in TESTS
        ]
        write_parquet(bars(rng), out / "persistence.parquet")
        write_parquet(pd.DataFrame(census), out / "census.parquet")
        tests = {
            t: {
                "passing": int(rng.integers(0, 5)) + 4 * (t == "circle"),
                "expected": 1.6,
                "clusters": 30,
            }
            for t in TESTS
        }
        write_json({"tests": tests, "clusters": 30, "clusters_null": 11.5}, out / "summary.json")

    def _tree(self, site: str, seed: int) -> None:
        family = {"architecture": "batchtopk", "sparsity": 32, "seed": seed}
        out = self.item("tree", **self.place(site, **family))
        nodes, edges = tree_tables(self.widths, np.random.default_rng([len(site), seed]))
        write_parquet(nodes, out / "nodes.parquet")
        write_parquet(edges, out / "edges.parquet")

    def _matches(self, site: str) -> None:
        saes = self.saes(site)
        pairs = [
            (direction, a, b)
            for a in saes
            for b in saes
            for direction in ("width", "seed")
            if _neighbours(direction, a, b, self.widths)
        ]
        for direction, a, b in pairs:
            out = self.item("match", **self.place(site, direction=direction, a=a, b=b))
            base = 0.86 if direction == "seed" else 0.8
            drop = 0.06 * np.log2(a["d_sae"] / self.widths[0] + 1) + 0.01 * a["seed"]
            write_json(
                {
                    "mmcs_ab": base - drop,
                    "mmcs_ba": base - drop - (0.1 if direction == "width" else 0.0),
                    "mcc": base - 0.1,
                    "null_rotated": {"mmcs_ab": 0.21, "mmcs_ba": 0.19, "mcc": 0.1},
                    "null_covariance": {"mmcs_ab": 0.34, "mmcs_ba": 0.31, "q50": 0.3},
                    "p_mmcs_covariance": 0.01,
                    "stitching": {"auc": 0.9, "threshold": 0.6},
                },
                out / "summary.json",
            )
            write_match(out, a, b)

    def _claims(self) -> None:
        out = self.item("claims")
        saes = [at for site in self.sites for at in self.saes(site)]
        write_parquet(pd.DataFrame([sae_row(at, self.widths) for at in saes]), out / "saes.parquet")
        write_parquet(
            pd.DataFrame([r for at in saes for r in claim_rows(at)]), out / "claims.parquet"
        )
        write_parquet(
            pd.DataFrame([r for at in saes for r in recovery_rows(at)]), out / "recovery.parquet"
        )
        rows = [r for site in self.sites for seed in self.seeds for r in self._family(site, seed)]
        families = pd.DataFrame(rows, columns=None if rows else FAMILY_COLUMNS)
        by = families.groupby(["site", "level", "type"])["fraction"]
        families["fraction_mean"] = by.transform("mean")
        families["fraction_sd"] = by.transform("std")
        write_parquet(families, out / "families.parquet")
        write_parquet(controls(families), out / "relations.parquet")
        write_parquet(
            typed(concept_relations(self.sites), CONCEPT_RELATION_COLUMNS),
            out / "concept_relations.parquet",
        )
        write_parquet(typed([], SCORE_COLUMNS), out / "edge_scores.parquet")
        joined = [complex_row(at) for at in saes if at["site"] == self.sites[0]]
        write_parquet(typed(joined, complexes.COLUMNS), out / "complexes.parquet")
        nested = [row for at in saes if (row := levels_row(at, self.widths))]
        write_parquet(typed(nested, LEVEL_COLUMNS), out / "levels.parquet")
        steps = [row for at in saes if (row := families_row(at, self.widths))]
        write_parquet(typed(steps, dendrograms.COLUMNS), out / "dendrograms.parquet")
        write_parquet(typed(steps, parallelograms.COLUMNS), out / "parallelograms.parquet")
        matching = pd.DataFrame([r for site in self.sites for r in self._matching(site)])
        write_parquet(matching, out / "matching.parquet")
        places = [self.place(site, architecture="batchtopk", sparsity=32) for site in self.sites]
        write_parquet(contrasts(places, self.widths), out / "contrasts.parquet")
        for path, coordinates in list(self.items.values()):
            if coordinates["stage"] in ("train", "geometry", "tree"):
                self.finish(
                    path, {k: coordinates.get(k) for k in ("site", "d_sae", "seed")}, {}, {}
                )
        self.finish(out, {}, self.of("train", "geometry", "tree"), {})

    def _family(self, site: str, seed: int) -> list[dict[str, Any]]:
        rng = np.random.default_rng([int(site.split(".")[1]), seed])
        rows = []
        for level in range(1, len(self.widths)):
            shares = rng.dirichlet(np.array([30, 8, 6, 14, 5, 12, 20.0]) * 3)
            for kind, share in zip(TYPES, shares, strict=True):
                rows.append(
                    {
                        **self.place(site, architecture="batchtopk", sparsity=32, seed=seed),
                        "level": level,
                        "d_narrow": self.widths[level - 1],
                        "d_wide": self.widths[level],
                        "type": kind,
                        "count": round(share * self.widths[level]),
                        "fraction": share,
                        "alive": self.widths[level],
                        "births": 100,
                        "identity_survival": 0.7,
                        "branching_mean": 2.4,
                        "single_parent_share": 0.9,
                        "mean_hole_rate": 0.1,
                        "mean_absorption_rate": 0.05,
                        "seeds": len(self.seeds),
                    }
                )
        return rows

    def _matching(self, site: str) -> list[dict[str, Any]]:
        common = {"architecture": "batchtopk", "sparsity": 32, "mcc": 0.7, "mutual_share": 0.6}
        return [
            {
                **self.place(site, **common),
                "direction": "width",
                "a_d_sae": self.widths[0],
                "b_d_sae": self.widths[-1],
                "a_seed": seed,
                "b_seed": seed,
                "mmcs_ab": 0.78,
                "mmcs_ba": 0.6,
                "null_mmcs_ab": 0.34,
                "null_mmcs_ba": 0.31,
                "p": 0.01,
                "novel_share": 0.3,
                "horizontal_mmcs_ab": 0.82,
                "vertical_minus_horizontal": -0.04,
            }
            for seed in self.seeds
        ]


def controls(families: pd.DataFrame) -> pd.DataFrame:
    """Shares of every relation between seeds, for the steps of `families`."""
    step = ["model", "site", "layer", "architecture", "sparsity", "level", "d_narrow", "d_wide"]
    if families.empty:
        return typed([], RELATION_COLUMNS)
    found = families.drop_duplicates([*step, "type"])
    half = found["fraction_mean"] / 2
    return typed(
        found.assign(
            statistic="share_" + found["type"], vertical=found["fraction_mean"], horizontal=half,
            horizontal_low=half - 0.02, horizontal_high=half + 0.02, difference=half,
            controls=found["seeds"] - 1,
        ),
        RELATION_COLUMNS,
    )  # fmt: skip


def _neighbours(direction: str, a: dict, b: dict, widths: tuple[int, ...]) -> bool:
    if direction == "seed":
        return a["d_sae"] == b["d_sae"] and b["seed"] == a["seed"] + 1
    step = widths.index(b["d_sae"]) - widths.index(a["d_sae"])
    return a["seed"] == b["seed"] and step == 1


def concept_table() -> pd.DataFrame:
    """Three concepts: a circle, a line, a control."""
    rows = [
        ("weekday", "circle", "circle", 0.93, 0.31, 0.003),
        ("number", "line", "line", 0.88, 0.35, 0.001),
        ("colour", "categories", "order", 0.22, 0.2, 0.41),
    ]
    names = ["concept", "shape", "test", "statistic", "null_mean", "p"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(values=7, tokens=4000, closure=1.1, held_out_r2=0.82, null_sd=0.1, z=5.0)


def complex_row(at: dict[str, Any]) -> dict[str, Any]:
    """A complex with fewer loops than its null; all parts of the null are one, as here."""
    facts = {"b_site": "next", "b_layer": 1, "lower": 99, "upper": 80, "simplices": 80}
    facts |= {"distinct": 70, "vertices": 90, "b0": 1, "b0_null": 1, "b0_p": 1}
    return {**at, **facts, "b1": 31, "b1_null": 70.5, "b1_p": 0.002, "cut": 2}


def concept_relations(sites: tuple[str, ...]) -> list[dict[str, Any]]:
    """One relation at every site; what is left out was not tested."""
    words = {"child": "species", "parent": "class", "kind": "tree", "space": "raw", "model": "m"}
    counts = {"children": 36, "parents": 12, "questions": 1188, "shuffles": 99, "reflections": 99}
    tests = {"parallel": 0.38, "parallel_p": 0.01, "add": 0.88, "nearest": 0.14, "gain_p": 0.02}
    return [{**words, **counts, **tests, "site": site, "layer": -1} for site in sites]


def mean_table() -> pd.DataFrame:
    """Class means of the three concepts."""
    rng = np.random.default_rng(5)
    rows = []
    for concept, shape, labels in (
        ("weekday", "circle", DAYS),
        ("number", "line", [str(n) for n in range(12)]),
        ("colour", "categories", ["red", "blue", "a$b$c", "<script>", "green\n"]),
    ):
        for value, label in enumerate(labels):
            angle = 2 * np.pi * value / len(labels)
            x, y = {
                "circle": (np.cos(angle), np.sin(angle)),
                "line": (value / 4, 0.15 * np.sin(value)),
                "categories": tuple(rng.normal(size=2)),
            }[shape]
            noise = rng.normal(size=2) * 0.06
            rows.append((concept, shape, value, label, -1, "", 300, x + noise[0], y + noise[1]))
    names = ["concept", "shape", "value", "label", "parent", "parent_label", "count", "x", "y"]
    return pd.DataFrame(rows, columns=names)


def training_log(at: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    """A falling curve."""
    step = np.arange(0, 3000, 10)
    floor = 0.3 - 0.02 * np.log2(at["d_sae"])
    fvu = floor + 0.7 * np.exp(-step / 300) + rng.normal(size=len(step)) * 0.004
    return pd.DataFrame({"step": step, "tokens": step * 2048, "loss": fvu * 40, "fvu": fvu})


def latents(width: int, rng: np.random.Generator) -> pd.DataFrame:
    """A tenth dead; log-normal densities; a few duplicates."""
    density = np.minimum(10 ** rng.normal(-2.5, 0.6, width), 1.0)
    density[: width // 10] = 0
    cosine = np.where(density > 0, rng.beta(8, 8, width), np.nan)
    cosine[-width // 20 :] = 0.97
    return pd.DataFrame(
        {
            "feature": np.arange(width, dtype="int32"),
            "density": density,
            "n_fired": np.round(density * 1e6).astype("int64"),
            "nearest_cosine": cosine,
        }
    )


def error_groups(at: dict[str, Any], rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Errors that fall with position, width and norm, in contexts of 128 tokens."""
    first = np.r_[1:64, 64:128:8]
    end = np.r_[first[1:], 128]
    error = 0.3 - 0.02 * np.log2(at["d_sae"])
    numbers = {"tokens": 100, "l0": 30 + rng.normal(size=len(first))}
    positions = pd.DataFrame({"position_first": first, "position_end": end, **numbers})
    low = np.r_[0, np.linspace(5, 13, 9)]
    norms = pd.DataFrame({"norm_low": low, "norm_high": [*low[1:], np.inf], "tokens": 50})
    return {
        "positions": positions.assign(fvu=error * (1 + 2 / first)),
        "norms": norms.assign(fvu=error * 6 / (1 + low), l0=30.0),
    }


def levels_row(at: dict[str, Any], widths: tuple[int, ...]) -> dict[str, Any] | None:
    """Nested levels that agree with a tree over widths, less on deeper layers; None if narrowest.

    On the deepest layers they agree by chance only.
    """
    place = widths.index(at["d_sae"])
    if place == 0:
        return None
    rng = np.random.default_rng([at["layer"], at["d_sae"], at["seed"]])
    latents = at["d_sae"]
    over, among = int(0.3 * latents), int(0.45 * latents)
    both = int(rng.uniform(0.15, 0.25) * latents)
    agreement = max(0.04, rng.uniform(0.5, 0.6) - 0.06 * at["layer"])
    return {
        **at,
        "d_narrow": widths[place - 1],
        "latents": latents,
        "over_widths": over,
        "among_levels": among,
        "both": both,
        "agreeing": int(agreement * both),
        "agreement": int(agreement * both) / both,
        "null_agreement": 0.03,
        "p": 0.001 if agreement > 0.04 else 0.4,
    }


def families_row(at: dict[str, Any], widths: tuple[int, ...]) -> dict[str, Any] | None:
    """Siblings that are joined first beyond the null on the first layers; None if narrowest."""
    place = widths.index(at["d_sae"])
    if place == 0:
        return None
    rng = np.random.default_rng([at["layer"], at["d_sae"], at["seed"], 1])
    beyond = max(0.0, 0.15 - 0.02 * at["layer"]) + 0.02 * rng.normal()
    p = 0.02 if beyond > 0.05 else 0.5
    row = {**at, "level": place, "d_narrow": widths[place - 1], "d_wide": at["d_sae"]}
    row |= {"children": 60, "families": 14, "largest": 12, "pairs": 20}
    row |= {"triplets": 0.6 + beyond, "triplets_beside": 0.6, "triplets_beside_p": p}
    row |= {"cophenetic": 0.1 + beyond, "cophenetic_beside": 0.1, "cophenetic_beside_p": p}
    return row | {"score": 0.37 + 0.01 * rng.normal(), "score_null": 0.37, "score_p": 0.4}


def probed(rng: np.random.Generator) -> pd.DataFrame:
    """Values of two concepts, one of which is absorbed here and there."""
    names = [("weekday", day) for day in ("Monday", "Tuesday", "Sunday")]
    names += [("first letter", letter) for letter in "abcdefgh"]
    full = np.where([c == "weekday" for c, _ in names], 0.0, rng.beta(2, 6, len(names)))
    return pd.DataFrame(
        {
            "concept": [concept for concept, _ in names],
            "value": [*range(3), *range(8)],
            "label": [label for _, label in names],
            "counts": [label != "h" for _, label in names],
            "main": rng.integers(1, 4, len(names)),
            "f1_first": 0.95 - full,
            "full": full,
            "full_null": 0.03,
            "fraction": full * 1.5,
            "fraction_null": 0.2,
            "ablated": full * 0.6,
            "ablated_null": 0.004,
        }
    )


def landscape(rng: np.random.Generator) -> pd.DataFrame:
    """Some measures of a whole dictionary beside their nulls."""
    names = ["spectrum_slope", "gram_explained", "hubness", "isotropy"]
    value = rng.uniform(0, 1, len(names))
    return pd.DataFrame(
        {
            "measure": names,
            "value": value,
            "null": "permuted latents",
            "null_mean": value / 2,
            "null_sd": 0.1,
            "low": value - 0.1,
            "high": value + 0.1,
            "p": rng.uniform(0, 0.1, len(names)),
        }
    )


def contexts(width: int) -> pd.DataFrame:
    """Top contexts: features fire for days, months and such."""
    names = [*DAYS, " the", "$5", "New", " York", "été"]
    rows = [
        (f, r, r, 9.0 - r, names[(f + r // 6) % len(names)], "a context")
        for f in range(min(width, 64))
        for r in range(10)
    ]
    return pd.DataFrame(rows, columns=["feature", "rank", "row", "activation", "token", "text"])


def embedding(width: int, rng: np.random.Generator) -> pd.DataFrame:
    """A blob with a few clusters."""
    n = width - width // 10
    cluster = np.where(np.arange(n) < n // 4, np.arange(n) % 9, -1)
    centre = rng.normal(size=(9, 2)) * 4
    xy = rng.normal(size=(n, 2)) * np.where(cluster < 0, 3.0, 0.25)[:, None]
    xy += np.where(cluster[:, None] < 0, 0, centre[cluster])
    shapes = np.array(["circle", "line", "tree", "simplex", "unresolved"])
    return pd.DataFrame(
        {
            "feature": np.arange(n, dtype="int32"),
            "x": xy[:, 0],
            "y": xy[:, 1],
            "cluster": cluster.astype("int32"),
            "density": 0.01,
            "dimensionality": np.clip(rng.beta(6, 14, size=n), 0, 1),
            "shape": np.where(cluster < 0, "", shapes[cluster % 5]),
        }
    )


def spectrum(width: int, d: int = 64) -> pd.DataFrame:
    """A power law beside a flat null."""
    rank = np.arange(1, d + 1)
    eigenvalue = rank**-0.8
    null = (1 + np.sqrt(d / width) * np.linspace(1, -1, d)) / d
    made = {"rank": rank, "eigenvalue": eigenvalue / eigenvalue.sum(), "null_eigenvalue": null}
    return pd.DataFrame({**made, "activation_eigenvalue": rank**-1.2})


def bars(rng: np.random.Generator) -> pd.DataFrame:
    """Loops of three clouds, one of them long in the first."""
    birth = rng.uniform(0.1, 1.0, (3, 20))
    death = birth * (1 + rng.exponential(0.1, birth.shape))
    death[0, 0] = 4 * birth[0, 0]
    cluster = np.repeat(np.arange(3, dtype="int32"), 20)
    return pd.DataFrame({"cluster": cluster, "birth": birth.ravel(), "death": death.ravel()})


def panel_points(rng: np.random.Generator) -> pd.DataFrame:
    """Two clusters: weekdays on a circle with labels, and a line without."""
    rows = []
    for panel, (test, labels) in enumerate((("circle", DAYS), ("line", [""] * 7))):
        for i, label in enumerate(labels):
            angle = 2 * np.pi * i / 7
            x, y = (
                (np.cos(angle), np.sin(angle)) if test == "circle" else (i / 3 - 1, 0.1 * (i % 2))
            )
            about = {"cluster": panel, "panel": panel, "test": test, "feature": 100 + i}
            concept = "weekday" if label else ""
            about |= {
                "concept": concept,
                "value": i if label else -1,
                "label": label,
                "text": "...",
            }
            rows.append(
                {
                    **about,
                    "kind": "direction",
                    "x": x,
                    "y": y,
                    "order": i,
                    "activation": 0.0,
                    "row": -1,
                    "token": "",
                }
            )
            for j in range(40):
                scale = rng.uniform(0.4, 2)
                dx, dy = rng.normal(size=2) * 0.12
                token = label or f" n{i}{j % 3}"
                rows.append(
                    {
                        **about,
                        "kind": "cloud",
                        "x": scale * x + dx,
                        "y": scale * y + dy,
                        "order": -1,
                        "activation": scale,
                        "row": j,
                        "token": token,
                    }
                )
    return pd.DataFrame(rows)


def tree_tables(
    widths: tuple[int, ...], rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Twelve roots, of which some split at every step; edges with plausible numbers."""
    rows, edges, front = [], [], []
    for latent in range(12):
        front.append(f"0:{latent}")
        rows.append(
            [f"0:{latent}", 0, widths[0], latent, 900 - 20 * latent, "root", "", f"0:{latent}"]
        )
    for level in range(1, len(widths)):
        fresh, latent = [], 0
        for i, parent in enumerate(front):
            kinds = [
                ["identity"],
                ["split"] * 3,
                ["identity_with_holes", "absorption"],
                ["identity", "composition"],
            ]
            for kind in kinds[(i + level) % 4]:
                node = f"{level}:{latent}"
                root = next(r[7] for r in rows if r[0] == parent)
                rows.append([node, level, widths[level], latent, 400 - latent, kind, parent, root])
                edges.append(
                    edge(level, widths, int(parent.split(":")[1]), latent, kind, parent, rng)
                )
                fresh.append(node)
                latent += 1
        for _ in range(60):
            kind = "novel" if latent % 2 else "other"
            rows.append(
                [
                    f"{level}:{latent}",
                    level,
                    widths[level],
                    latent,
                    50,
                    kind,
                    "",
                    f"{level}:{latent}",
                ]
            )
            edges.append(edge(level, widths, -1 if latent % 3 else 4, latent, kind, "", rng))
            latent += 1
        front = fresh
    names = ["node", "level", "d_sae", "latent", "count", "type", "parent", "root"]
    nodes = pd.DataFrame(rows, columns=names)
    nodes["n_children"] = (
        nodes["node"].map(nodes["parent"].value_counts()).fillna(0).astype("int32")
    )
    nodes = nodes.assign(absorption_rate=0.1, hedging=0.2, hedging_null=0.05)
    return nodes, pd.DataFrame(edges)


def edge(
    level: int,
    widths: tuple[int, ...],
    n: int,
    w: int,
    kind: str,
    source: str,
    rng: np.random.Generator,
) -> dict:
    """One row of a tree's edges."""
    typical = {
        "identity": (0.95, 0.97),
        "identity_with_holes": (0.9, 0.95),
        "absorption": (0.7, 0.97),
        "split": (0.8, 0.96),
        "composition": (0.6, 0.93),
        "novel": (0.3, 0.3),
        "other": (0.4, 0.5),
    }
    cosine, conditional = typical[kind]
    return {
        "source": source,
        "target": f"{level}:{w}",
        "level": level,
        "step": 1,
        "d_narrow": widths[level - 1],
        "d_wide": widths[level],
        "n": n,
        "w": w,
        "type": kind,
        "subtype": "",
        "primary": bool(source),
        "match": n,
        "match_cosine": 0.93,
        "conservation": 1 + rng.normal() * 0.05,
        "cosine": min(1.0, cosine + rng.normal() * 0.03),
        "p_n_given_w": float(np.clip(conditional + rng.normal() * 0.04, 0, 1)),
        "lb_n_given_w": conditional - 0.05,
        "p_w_given_n": 0.4,
        "p_n_given_w_null": 0.03,
        "cosine_null": 0.42,
    }


def sae_row(at: dict[str, Any], widths: tuple[int, ...]) -> dict[str, Any]:
    """Evaluation metrics that improve with width."""
    step = np.log2(at["d_sae"] / widths[0])
    shift = 0.002 * at["seed"] + 0.004 * at["layer"]
    return {
        **at,
        "l0": 32.0 - step + at["seed"] * 0.3,
        "explained_variance": 0.7 + 0.04 * step - shift,
        "ce_recovered": 0.9 + 0.02 * step - shift,
        "dead_fraction": 0.01 + 0.03 * step + shift,
        "nearest_cosine_q50.v2": 0.5 + 0.03 * step + shift,
        "nearest_cosine_random.v2": 0.3 + 0.02 * step,
        "duplicate_fraction.v2": 0.02 * step,
        "clusters": 30,
        "clustered_share": 0.2,
        "mean_dimensionality": 0.3,
    }


def claim_rows(at: dict[str, Any]) -> list[dict[str, Any]]:
    """A clear circle, a weak line, a concept and a match."""
    rows = [
        ("cluster", "0", "circle", 0.91, 0.4, 0.001, 0.012, "claimed", 2),
        ("cluster", "1", "line", 0.6, 0.5, 0.2, 0.4, "not claimed", 1),
        ("concept", "weekday", "circle", 0.93, 0.31, 0.003, 0.009, "claimed", 2),
        ("match", "<b>512->2048</b>", "mmcs", 0.8, 0.34, 0.01, 0.02, "claimed", 2),
    ]
    names = [
        "kind",
        "subject",
        "test",
        "effect",
        "null_effect",
        "p",
        "q",
        "verdict",
        "replicated_seeds",
    ]
    return [
        {
            **at,
            **dict(zip(names, row, strict=True)),
            "z": 4.0,
            "null": "same mean and covariance",
            "members": 7,
            "seeds": 2,
        }
        for row in rows
    ]


def recovery_rows(at: dict[str, Any]) -> list[dict[str, Any]]:
    """One recovered, one partly, one missed, one control."""
    wide = at["d_sae"] > 512
    rows = [
        ("weekday", "circle", 7, 7, "recovered"),
        ("number", "line", 12, 9 if wide else 4, "partly" if wide else "not recovered"),
        ("country", "tree", 9, 8, "recovered" if wide or at["seed"] else "partly"),
        ("colour", "categories", 5, 5, "nothing claimed" if wide else "false claim"),
    ]
    return [
        {
            **at,
            "concept": c,
            "shape": shape,
            "parent": "",
            "values": n,
            "values_held": held,
            "held_share": held / n,
            "mean_f1": 0.9,
            "supervised_statistic": 0.9,
            "supervised_p": 0.002,
            "supervised_q": 0.01,
            "held_out_r2": 0.8,
            "latents": held,
            "shape_statistic": 0.85,
            "shape_p": 0.01,
            "shape_q": 0.01,
            "shape_exact": True,
            "tree_f1": 0.9 if shape == "tree" else np.nan,
            **dict.fromkeys(("edge_precision", "edge_recall", "edge_f1"), np.nan),
            "verdict": verdict,
        }
        for c, shape, n, held, verdict in rows
    ]
