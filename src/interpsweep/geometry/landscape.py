"""Stage `landscape`: one dictionary as a whole, beyond its clusters.

Every number in `measures.parquet` has a null beside it; docs/methods.md says which and why.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import linregress, t

from interpsweep.config.landscape import LandscapeSettings
from interpsweep.context import Context
from interpsweep.geometry import angles, lobes, tegum
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
NEIGHBOURS = 10  # nearest latents in which hubs are counted
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
    "spectrum_slope": (lambda unit, few, k: fit_slope(unit).slope, "isotropic", "lower"),
    "filled_dimensions": (lambda unit, few, k: tegum.filled(unit), "isotropic", "both"),
    "isotropy": (lambda unit, few, k: partition_ratio(unit), "isotropic", "lower"),
    "mean_cosine": (lambda unit, few, k: mean_cosine(unit), "isotropic", "both"),
    "polytope_excess": (lambda unit, few, k: tegum.polytope_excess(unit), "same spectrum", "upper"),
    "hubness": (lambda unit, few, k: hubness(few, k), "same spectrum", "upper"),
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
            drawn[name].append(statistic(rows[null], rows[null][few], NEIGHBOURS))
    fitted = fit_slope(unit)
    made = []
    for name, (statistic, null, tail) in STATISTICS.items():
        value = statistic(unit, unit[few], NEIGHBOURS)
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
    threshold = tegum.null_threshold(n, d, tegum.FACTOR_QUANTILE, rng)
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


# ---------------------------------------------------------------------------- evenness


BLOCK = 2048  # rows of one block of cosines


def partition_ratio(unit: Array) -> float:
    """min / max over c of Z(c) = sum_i exp(c . d_i), c the eigenvectors of the Gram and minus them.

    1 for perfectly even directions (Mu and Viswanath 2018, "All-but-the-Top", after Arora et al.
    2016).
    """
    _, vectors = np.linalg.eigh(unit.T @ unit)
    along = unit @ vectors
    z = np.concatenate([np.exp(along).sum(axis=0), np.exp(-along).sum(axis=0)])
    return float(z.min() / z.max())


def mean_cosine(unit: Array) -> float:
    """Mean cosine of two different rows."""
    n, total = len(unit), unit.sum(axis=0)
    return float((total @ total - n) / (n * (n - 1)))


def occurrences(unit: Array, k: int) -> NDArray[np.int64]:
    """How many rows have each row among their `k` nearest by cosine, (n,)."""
    n = len(unit)
    k, counts = min(k, n - 1), np.zeros(n, np.int64)
    for first in range(0, n, BLOCK):
        cosines = unit[first : first + BLOCK] @ unit.T
        rows = np.arange(len(cosines))
        cosines[rows, first + rows] = -np.inf
        near = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        counts += np.bincount(near.ravel(), minlength=n)
    return counts


def hubness(unit: Array, k: int) -> float:
    """Skewness of the k-occurrences (Radovanovic et al. 2010, "Hubs in Space"); 0: no hubs."""
    counts = occurrences(unit, k).astype(float)
    spread = counts.std()
    return float(np.mean((counts - counts.mean()) ** 3) / spread**3) if spread > 0 else 0.0


# --------------------------------------------------------------------------- spectrum


FIRST, LAST, FEWEST = 10, 150, 10  # ranks of the fit, and how many it needs


class Slope(NamedTuple):
    """Slope of log10 eigenvalue over log10 rank, its 95 % t interval, and the ranks used."""

    slope: float
    low: float
    high: float
    ranks: int


def fit_slope(unit: Array) -> Slope:
    """Fit over ranks 10 to 150, or as far as there are eigenvalues above rounding; unit (n, d).

    How fast variance falls from axis to axis: eigenvalues of the covariance of decoder directions
    follow a power law over the middle ranks, steepest in middle layers (Li et al. 2024, "The
    Geometry of Concepts", section 5).
    """
    centred = unit - unit.mean(axis=0)
    values = np.linalg.eigvalsh(centred.T @ centred / len(unit))[::-1]
    rank = np.arange(1, len(values) + 1)
    here = (rank >= FIRST) & (rank <= LAST) & (values > values[0] * 1e-10)
    count = int(here.sum())
    if count < FEWEST:
        return Slope(float("nan"), float("nan"), float("nan"), count)
    line = linregress(np.log10(rank[here]), np.log10(values[here]))
    reach = float(t.ppf(0.975, count - 2) * line.stderr)
    return Slope(float(line.slope), float(line.slope - reach), float(line.slope + reach), count)


# --------------------------------------------------------------------------- measures


Tail = Literal["upper", "lower", "both"]


class Measure(NamedTuple):
    """A statistic and its null distribution in numbers; columns of `measures.parquet`."""

    measure: str
    value: float
    null: str  # what the draws keep and destroy; docs/methods.md
    null_mean: float
    null_sd: float
    z: float
    p: float
    draws: int
    low: float  # 95 % interval of the value where there is one, else NaN
    high: float
    size: int  # how many latents, pairs or ranks it was taken over


def against(
    name: str,
    value: float,
    null: str,
    draws: NDArray[np.floating],
    size: int,
    tail: Tail = "upper",
    interval: tuple[float, float] = (np.nan, np.nan),
) -> Measure:
    """The measure with mean, spread, z and p = (1 + #{draw as extreme}) / (1 + #draws) of its null.

    With tail "both" a draw counts that is as far from the mean of the draws. A value that is not a
    number has no p: there was nothing to measure.
    """
    draws = np.asarray(draws, np.float64)
    mean, sd = (float(draws.mean()), float(draws.std())) if len(draws) else (np.nan, np.nan)
    if tail == "both":
        extreme = np.abs(draws - mean) >= abs(value - mean)
    else:
        extreme = draws >= value if tail == "upper" else draws <= value
    sound = bool(np.isfinite(value)) and len(draws) > 0
    p = (1 + int(extreme.sum())) / (1 + len(draws)) if sound else np.nan
    z = (value - mean) / sd if sound and sd > 0 else np.nan
    return Measure(name, float(value), null, mean, sd, z, p, len(draws), *interval, int(size))
