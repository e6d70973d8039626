"""Columns of the tables that one stage writes and others read, with their types; docs/tables.md
says what is in them.

Coordinates are no columns of an item's own tables: who gathers items puts them in front.
"""

from __future__ import annotations

from typing import Any

Columns = dict[str, Any]

# ------------------------------------------------------------------------------ coordinates

PLACE = ("model", "site", "layer", "architecture", "sparsity", "d_sae", "seed")
SITE = ("model", "site")
FAMILY = ("model", "site", "architecture", "sparsity", "seed")
TYPES: Columns = {
    **dict.fromkeys(("model", "site", "architecture"), str),
    **dict.fromkeys(("layer", "d_sae", "seed"), "int32"),
    "sparsity": "float64",
}
OF_SAE: Columns = {name: TYPES[name] for name in PLACE}
OF_FAMILY: Columns = {name: TYPES[name] for name in PLACE if name != "d_sae"}

# --------------------------------------------------------------------------------- geometry

# How clusters are chosen: by directions, where the null repeats the search; by joint firing of
# latents; as kinds of tokens.
BY_DIRECTION = ("cosine", "leiden", "spectral", "tegum")
BY_FIRING = ("phi", "jaccard", "cofiring")
OF_TOKENS = ("tokens", "token parts")
MODELS = ("circle", "line", "tree", "torus", "sphere", "helix", "grid", "polytope")

CENSUS: Columns = {
    "cluster": "int32",
    **dict.fromkeys(("source", "object"), str),
    "size": "int32",
    "test": str,
    **dict.fromkeys(("statistic", "null_mean", "null_sd", "z"), "float64"),
    "null": str,
    "p": "float64",
    "draws": "int32",
    **dict.fromkeys(("p_codes", "p_selected"), "float64"),
    "n_selected": "int32",
    "power": str,
    "passes": bool,
    "closure": "float64",
    **dict.fromkeys(("order", "best_model"), str),
    **{f"r2_{name}": "float64" for name in MODELS},
}

# --------------------------------------------------------------------------------- children

CHILD = ("absorption", "split", "specialisation")  # types of edges from a parent

STEP: Columns = dict.fromkeys(("level", "d_narrow", "d_wide"), "int32")
BRANCHES: Columns = {
    **STEP,
    **dict.fromkeys(("parent", "children", "size"), "int32"),
    **{
        name: kind
        for name, kind in CENSUS.items()
        if name not in ("cluster", "source", "object", "size", "p_codes", "n_selected", "power")
    },
}
DENDROGRAMS: Columns = {
    **STEP,
    **dict.fromkeys(("children", "families", "largest"), "int32"),
    **{
        f"{name}{suffix}": "float64"
        for name in ("triplets", "cophenetic")
        for suffix in ("", "_null", "_p", "_beside", "_beside_p")
    },
}
PARALLELOGRAMS: Columns = {
    **STEP,
    **dict.fromkeys(("families", "pairs"), "int32"),
    **dict.fromkeys(
        ("score", "score_null", "score_p", "above", "above_p", "cosine", "cosine_null"), "float64"
    ),
}

# -------------------------------------------------------------------------------- complexes

TOPOLOGY = ("edges", "triangles", "b0", "b1", "b2", "articulations")
COMPLEX: Columns = {
    **dict.fromkeys(("lower", "upper", "simplices", "distinct", "vertices"), "int32"),
    **dict.fromkeys(("weight", "largest"), "float64"),
    **{f"{name}{suffix}": "float64" for name in TOPOLOGY for suffix in ("", "_null", "_sd", "_p")},
}

# --------------------------------------------------------------------------------- recovery

LABELLED = 20  # tokens of a value from which it counts
STANDS_FOR = 0.5  # F1 from which a latent stands for the value that it is best for

TILING: Columns = {
    **dict.fromkeys(("plane_capture", "plane_capture_null", "plane_energy"), "float64"),
    "tiling": "int32",
    **dict.fromkeys(("tiling_gap_cv", "tiling_l0", "concept_l0", "tiling_l1"), "float64"),
}
HELD: Columns = {
    **dict.fromkeys(("concept", "shape", "parent"), str),
    **dict.fromkeys(("shape_statistic", "shape_p"), "float64"),
    "shape_exact": bool,
    "shape_latents": "int32",
    **TILING,
}
VALUES: Columns = {
    "concept": str,
    "value": "int32",
    "label": str,
    "count": "int64",
    "feature": "int32",
    **dict.fromkeys(("threshold", "f1", "precision", "recall"), "float64"),
}
SHARES: Columns = {"concept": str, "feature": "int32", "share": "float64"}

# -------------------------------------------------------------------------------- agreement

NESTED: Columns = {
    "d_sae": "int32",
    "concept": str,
    **dict.fromkeys(("parent_value", "value"), "int32"),
    "planted": bool,
    **dict.fromkeys(("d_parent", "parent_feature", "feature"), "int32"),
    **dict.fromkeys(("parent_f1", "f1", "cofiring"), "float64"),
}
VALUE_EDGES: Columns = {
    "concept": str,
    **dict.fromkeys(("edge_precision", "edge_recall", "edge_f1"), "float64"),
}
EDGE_SCORES: Columns = {
    "level": "int32",
    "type": str,
    **dict.fromkeys(("true", "found", "right"), "int64"),
    **dict.fromkeys(("precision", "recall", "f1"), "float64"),
}
EDGE_CONFUSION: Columns = {
    "level": "int32",
    **dict.fromkeys(("truth", "type"), str),
    "count": "int64",
}
LEVELS: Columns = {
    **dict.fromkeys(("d_sae", "d_narrow"), "int32"),
    **dict.fromkeys(("latents", "over_widths", "among_levels", "both", "agreeing"), "int32"),
    **dict.fromkeys(("agreement", "null_agreement", "p"), "float64"),
}
META_PARENTS: Columns = {
    **dict.fromkeys(("d_narrow", "d_wide", "d_meta"), "int32"),
    "type": str,
    "children": "int32",
    **dict.fromkeys(("strongest", "strongest_null", "any", "any_null"), "float64"),
    **dict.fromkeys(("nearest", "nearest_null", "metas", "meta_cosine"), "float64"),
    **dict.fromkeys(("explained_variance", "explained_variance_null"), "float64"),
}

# ---------------------------------------------------------------------------- interventions

EFFECTS: Columns = {
    **dict.fromkeys(("concept", "shape", "source", "space"), str),
    "dimensions": "int32",
    "action": str,
    **dict.fromkeys(("steps", "prompts", "values"), "int32"),
    **dict.fromkeys(("accuracy", "length", "effect", "null_mean", "null_high", "p"), "float64"),
    **dict.fromkeys(("logit", "logit_before", "logit_null", "logit_p"), "float64"),
    "draws": "int32",
}

# --------------------------------------------------------------------------------- concepts

CONCEPT_RELATIONS: Columns = {
    **dict.fromkeys(("child", "parent", "kind", "space"), str),
    **dict.fromkeys(("children", "parents", "questions"), "int32"),
    **dict.fromkeys(
        (
            *("parallel", "parallel_shuffled", "parallel_reflected", "parallel_p"),
            *("siblings", "siblings_shuffled", "siblings_p"),
            *("add", "add_shuffled", "add_reflected", "add_open", "mul", "nearest", "given"),
            *("gain", "gain_shuffled", "gain_reflected", "gain_p", "p_floor"),
            *("orthogonality", "orthogonality_shuffled", "orthogonality_p"),
        ),
        "float64",
    ),
    **dict.fromkeys(("shuffles", "reflections"), "int64"),
}
