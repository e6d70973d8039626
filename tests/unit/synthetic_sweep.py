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
from synthetic_claims import (
    claim_rows,
    controls,
    families_row,
    levels_row,
    recovery_rows,
    tree_tables,
)
from synthetic_geometry import (
    bars,
    complex_row,
    concept_relations,
    concept_table,
    embedding,
    landscape,
    mask_row,
    mean_table,
    norms,
    panel_points,
    spectrum,
)
from synthetic_matches import contrasts, write_match
from synthetic_saes import (
    contexts,
    effects,
    error_groups,
    latents,
    probed,
    sae_row,
    sparsely,
    training_log,
)

from interpsweep.claims.claims import GATHERED, RELATION_COLUMNS
from interpsweep.claims.sweep_tables import MASK_COLUMNS
from interpsweep.tables import typed, write_json, write_parquet

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
        acted = self.item("intervene", **self.place(site))
        write_parquet(effects("means", 0), acted / "effects.parquet")
        write_parquet(norms(), self.item("mask", **self.place(site)) / "norms.parquet")
        for at in self.saes(site):
            rng = np.random.default_rng([at["layer"], at["d_sae"], at["seed"]])
            write_parquet(training_log(at, rng), self.item("train", **at) / "training.parquet")
            write_parquet(contexts(at["d_sae"]), self.item("encode", **at) / "contexts.parquet")
            self._evaluation(at, rng)
            self._geometry(at, rng)
            write_parquet(landscape(rng), self.item("landscape", **at) / "measures.parquet")
            acted = self.item("intervene", **at)
            write_parquet(effects("latents", at["seed"]), acted / "effects.parquet")
            place = self.item("probe", **at)
            write_parquet(probed(rng), place / "values.parquet")
            write_parquet(sparsely(at, self.widths), place / "sparse.parquet")
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
            typed(concept_relations(self.sites), RELATION_COLUMNS),
            out / "concept_relations.parquet",
        )
        masks = [mask_row(self.place(site)) for site in self.sites]
        write_parquet(typed(masks, MASK_COLUMNS), out / "masks.parquet")
        write_parquet(typed([], GATHERED["edge_scores"][2]), out / "edge_scores.parquet")
        joined = [complex_row(at) for at in saes if at["site"] == self.sites[0]]
        write_parquet(typed(joined, GATHERED["complexes"][2]), out / "complexes.parquet")
        nested = [row for at in saes if (row := levels_row(at, self.widths))]
        write_parquet(typed(nested, GATHERED["levels"][2]), out / "levels.parquet")
        steps = [row for at in saes if (row := families_row(at, self.widths))]
        write_parquet(typed(steps, GATHERED["dendrograms"][2]), out / "dendrograms.parquet")
        write_parquet(typed(steps, GATHERED["parallelograms"][2]), out / "parallelograms.parquet")
        matching = pd.DataFrame([r for site in self.sites for r in self._matching(site)])
        write_parquet(matching, out / "matching.parquet")
        places = [self.place(site, architecture="batchtopk", sparsity=32) for site in self.sites]
        write_parquet(contrasts(places, self.widths), out / "contrasts.parquet")
        for path, coordinates in list(self.items.values()):
            if coordinates["stage"] in ("train", "geometry", "tree"):
                self.finish(
                    path, {k: coordinates.get(k) for k in ("site", "d_sae", "seed")}, {}, {}
                )
        write_json({}, out / "summary.json")
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


def _neighbours(direction: str, a: dict, b: dict, widths: tuple[int, ...]) -> bool:
    if direction == "seed":
        return a["d_sae"] == b["d_sae"] and b["seed"] == a["seed"] + 1
    step = widths.index(b["d_sae"]) - widths.index(a["d_sae"])
    return a["seed"] == b["seed"] and step == 1
