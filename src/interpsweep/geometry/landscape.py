"""Stage `landscape`: one dictionary as a whole, beyond its clusters.

Every number in `measures.parquet` has a null beside it; docs/methods.md says which and why.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.config.landscape import LandscapeSettings
from interpsweep.context import Context
from interpsweep.geometry import angles, isotropy, lobes, slope, tegum
from interpsweep.geometry.measures import Measure, Tail, against
from interpsweep.geometry.nulls import random_directions
from interpsweep.numerics.cosine import unit_rows
from interpsweep.numerics.twins import Twins
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.codes import Codes
from interpsweep.saes.firing import Firing
from interpsweep.saes.joint import Joint, among, without_itself
from interpsweep.spec import Spec
from interpsweep.tables import write_json, write_parquet

Array = NDArray[np.float64]
LEAST = 16  # live latents of a dictionary that is measured


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Measure one SAE; write measures.parquet and summary.json."""
    settings = LandscapeSettings(**spec["settings"])
    codes = Codes.open(inputs["codes"])
    directions = unit_rows(np.asarray(Dictionary.open(inputs["sae"]).W_dec))
    alive = np.flatnonzero(codes.count >= max(settings.min_firings, 1))
    if len(alive) < LEAST:
        ctx.log(
            f"{inputs['sae']}: only {len(alive)} latents fire at least {settings.min_firings} "
            f"times on the analysis split, {LEAST} are needed; this dictionary is not measured"
        )
        return _write([], len(directions), len(alive), 0, out)
    unit = directions[alive].astype(np.float64)
    rng = np.random.default_rng([settings.seed, 0])
    few = np.sort(rng.permutation(len(alive))[: settings.latents])  # for what needs all pairs
    firing = Firing.above(codes, settings.firing_level)
    alone = among(firing, alive[few], ctx)
    blocks = among(firing, alive[few], ctx, settings.block)
    measures = [
        *directions_alone(unit, few, settings),
        *with_firings(unit[few], alone, settings),
        *with_lobes(unit[few], blocks, settings),
    ]
    return _write(measures, len(directions), len(alive), len(few), out)


def _write(
    measures: list[Measure], latents: int, alive: int, measured: int, out: Path
) -> dict[str, Any]:
    """Write the tables; return the summary."""
    table = pd.DataFrame(measures, columns=Measure._fields)
    write_parquet(table.astype({"draws": np.int32, "size": np.int64}), out / "measures.parquet")
    made = {"latents": latents, "alive": alive, "measured": measured}
    write_json(made, out / "summary.json")
    shown = ("spectrum_slope", "filled_dimensions", "gram_explained")
    return made | {m.measure: _number(m.value) for m in measures if m.measure in shown}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


# ---------------------------------------------------------------------------- directions


# statistic of unit rows and of those among them that all pairs are looked at of, null, tail
STATISTICS: dict[str, tuple[Callable[[Array, Array, int], float], str, Tail]] = {
    "spectrum_slope": (lambda unit, few, k: slope.fit(unit).slope, "isotropic", "lower"),
    "filled_dimensions": (lambda unit, few, k: tegum.filled(unit), "isotropic", "both"),
    "isotropy": (lambda unit, few, k: isotropy.partition_ratio(unit), "isotropic", "lower"),
    "mean_cosine": (lambda unit, few, k: isotropy.mean_cosine(unit), "isotropic", "both"),
    "polytope_excess": (lambda unit, few, k: tegum.polytope_excess(unit), "same spectrum", "upper"),
    "hubness": (lambda unit, few, k: isotropy.hubness(few, k), "same spectrum", "upper"),
}


def directions_alone(
    unit: Array, few: NDArray[np.int64], settings: LandscapeSettings
) -> list[Measure]:
    """Spectrum, packing, isotropy and hubs of unit rows (n, d), against random dictionaries that
    all statistics share; hubs are those among the rows `few`.
    """
    drawn: dict[str, list[float]] = {name: [] for name in STATISTICS}
    twins = Twins(unit)
    for draw in range(settings.dictionaries):
        rng = np.random.default_rng([settings.seed, 1, draw])
        rows = {
            "isotropic": random_directions(len(unit), unit.shape[1], 1, rng)[0],
            "same spectrum": twins.draw(len(unit), rng),
        }
        for name, (statistic, null, _) in STATISTICS.items():
            drawn[name].append(statistic(rows[null], rows[null][few], settings.neighbours))
    fitted = slope.fit(unit)
    made = []
    for name, (statistic, null, tail) in STATISTICS.items():
        value = statistic(unit, unit[few], settings.neighbours)
        size = len(few) if name == "hubness" else len(unit)
        about = against(name, value, null, np.array(drawn[name]), size, tail)
        if name == "spectrum_slope":
            about = about._replace(low=fitted.low, high=fitted.high, size=fitted.ranks)
        made.append(about)
    return made


# ---------------------------------------------------------------------------- with codes


def with_firings(unit: Array, firings: Joint, settings: LandscapeSettings) -> list[Measure]:
    """What co-firing on the same token says about the angles of unit rows (n, d)."""
    rng = np.random.default_rng([settings.seed, 3])
    n, d = unit.shape
    cosines, phi = unit @ unit.T, without_itself(firings.phi())
    found = angles.explained(cosines, firings, settings.draws, rng)
    threshold = tegum.null_threshold(n, d, settings.factor_quantile, rng)
    opposite = angles.antipodal_exclusive(
        cosines, phi, firings.first, -threshold, settings.draws, rng
    )
    factor = tegum.factors(unit, threshold)
    if np.bincount(factor + 1)[1:].max(initial=0) > n / 2:
        factor = np.full(n, -1)  # one giant component is no decomposition
    shared = angles.shared_factor(factor, phi, firings.first, settings.draws, rng)
    permuted, drawn = "permuted latents", "partners of like frequency"
    return [
        against("gram_explained", found.value, permuted, found.null, found.size),
        against("antipodal_exclusive", opposite.value, drawn, opposite.null, opposite.size),
        against(
            "anticorrelated_share_factor", shared.value, drawn, shared.null, shared.size, "both"
        ),
    ]


def with_lobes(unit: Array, firings: Joint, settings: LandscapeSettings) -> list[Measure]:
    """Functional against geometric clusterings into few lobes."""
    rng, made = np.random.default_rng([settings.seed, 4]), []
    phi = without_itself(firings.phi())
    for k in settings.lobes:
        if len(unit) < 8 * k:
            continue
        found = lobes.measure(
            unit, phi, k, settings.draws, settings.dictionaries, settings.seed, rng
        )
        made += [
            against(
                f"lobes_{k}_agreement",
                found.agreement,
                "permuted lobes",
                found.agreement_null,
                found.smallest,
            ),
            against(
                f"lobes_{k}_accuracy",
                found.accuracy,
                "isotropic",
                found.accuracy_null,
                found.smallest,
            ),
        ]
    return made
