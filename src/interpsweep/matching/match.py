"""Stage `match`: how the latents of two SAEs correspond, pair by pair, against nulls."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.activations.artifact import Activations
from interpsweep.config.analysis import MatchSettings
from interpsweep.config.base import own_fields
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.matching import coactivation, dependence, operators, pairs, stitching, vertices
from interpsweep.matching.evidence import edge_table, feature_table, summarise
from interpsweep.matching.sides import (
    Correspondence,
    Side,
    common,
    correspond,
    load_side,
    read_codes,
)
from interpsweep.numerics.cosine import Ints
from interpsweep.saes.postings import Postings
from interpsweep.spec import Spec
from interpsweep.tables import write_json, write_parquet

NULL_LATENTS = 2048  # most latents of a null dictionary that look for a partner
FIRINGS = "firings"  # scratch folder: who fires where, mapped by all workers


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Match dictionary ``inputs["a"]`` with ``inputs["b"]``; see docs/tables.md for what is
    written.
    """
    settings = own_fields(MatchSettings, spec["settings"])
    leading = spec["settings"].get("leading", (None, None))  # of two levels of one SAE
    # of two sites the rows that both use
    masks = [*inputs["masks"], *inputs.get("masks_b", ())]
    activations = Activations.open(inputs["activations"], masks)
    codes_a: Any
    codes_b: Any
    if "masks_b" in inputs:
        codes_a = common(inputs["codes_a"], inputs["masks"], activations)
        codes_b = common(inputs["codes_b"], inputs["masks_b"], activations)
    else:
        codes_a = read_codes(inputs["codes_a"], leading[0])
        codes_b = read_codes(inputs["codes_b"], leading[1])
    a = load_side(inputs["a"], codes_a, settings.firing_level, ctx, leading[0])
    b = load_side(inputs["b"], codes_b, settings.firing_level, ctx, leading[1])
    coactivation.require_same_rows(a.codes, b.codes)
    first = int(a.codes.rows[0])
    context = activations.context(first, first + a.codes.n_rows)
    documents = Corpus.open(inputs["corpus"]).document[context]
    scratch = out / FIRINGS
    edges, features, summary = match(a, b, activations, first, settings, ctx, documents, scratch)
    if spec["settings"].get("direction") == "layer":  # other activations: nothing to stitch into
        features["delta_mse"] = np.float32(np.nan)
        summary["stitching"] = dict.fromkeys(summary["stitching"])
        least = settings.vertex_firings
        summary["vertices"] = {s: int((x.count >= least).sum()) for s, x in (("a", a), ("b", b))}
        fired_a, fired_b = Postings(scratch / "a"), Postings(scratch / "b")
        highest = vertices.vertices(fired_a, fired_b, documents, least, ctx.block_map)
        write_parquet(highest, out / "simplices.parquet")
    else:
        curve = stitching.curve(a, b, activations, first, stitching.plan(a, b, features), ctx)
        write_parquet(curve, out / "stitching.parquet")
    shutil.rmtree(scratch)
    write_parquet(edges, out / "edges.parquet")
    write_parquet(features, out / "features.parquet")
    write_json(summary, out / "summary.json")
    return {
        key: summary[key] for key in ("mmcs_ab", "mmcs_ba", "mutual_share", "p_mmcs_covariance")
    }


def match(
    a: Side,
    b: Side,
    activations: Any,
    start: int,
    settings: MatchSettings,
    ctx: Any,
    documents: NDArray[np.int32] | None = None,
    scratch: Path | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Edges, per-latent features and the summary of one ordered pair of dictionaries.

    `documents` (n_rows,) has the document of each row; without it rows are independent draws.
    Firings are laid out under `scratch`, by default in a temporary folder.
    """
    if scratch is None:
        with TemporaryDirectory() as folder:
            return match(a, b, activations, start, settings, ctx, documents, Path(folder))
    if documents is None:
        documents = np.arange(a.codes.n_rows, dtype=np.int32)
    fired_a = Postings.write(a.codes, a.count, scratch / "a")
    fired_b = Postings.write(b.codes, b.count, scratch / "b")
    along_a = dependence.measure(fired_a, documents, ctx.block_map)
    along_b = dependence.measure(fired_b, documents, ctx.block_map)
    found = correspond(a, b, settings)
    nulls = operators.null_matches(
        a.decoder[a.count > 0],
        b.decoder[b.count > 0],
        settings.null_draws,
        np.random.default_rng([settings.seed, 1]),
        NULL_LATENTS,
        settings.assignment_limit,
        settings.block,
    )
    pair_a, pair_b = candidate_pairs(found, fired_a, fired_b, settings, ctx)
    sums = pairs.pair_sums(
        pairs.PairWork(
            a.codes,
            b.codes,
            activations,
            start,
            documents,
            pair_a,
            pair_b,
            found.mutual_ab,
            a.decoder,
            b.decoder,
            a.bias,
            b.bias,
            settings.seed,
        ),
        ctx.block_map,
    )
    effect = dependence.design_effects(along_a, along_b, pair_a, pair_b, documents)
    edges = edge_table(a, b, pair_a, pair_b, found, sums, nulls, effect)
    features = pd.concat(
        [
            feature_table("a", a, found, nulls, along_a, None),
            feature_table("b", b, found, nulls, along_b, sums),
        ],
        ignore_index=True,
    )
    return edges, features, summarise(a, b, found, edges, features, sums, nulls, settings)


def candidate_pairs(
    found: Correspondence, a: Postings, b: Postings, settings: MatchSettings, ctx: Any
) -> tuple[Ints, Ints]:
    """Top cosines both ways, all cosines above the floor, top co-firing; sorted, no repeats."""
    together = coactivation.candidates(a, b, settings.top_k, settings.overlap_floor, ctx.block_map)
    width = len(b.counts)
    keys = [pair_a * width + pair_b for pair_a, pair_b in (found.pairs, together)]
    unique = np.unique(np.concatenate(keys))
    return unique // width, unique % width
