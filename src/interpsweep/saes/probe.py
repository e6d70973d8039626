"""Stage ``probe``: labelled concepts, measured with probes (an option): absorption, sparse probes.

Every value of a concept gets a logistic probe on the activations of the analysis split, learned on
four fifths of the contexts, and every SAE is asked which of its latents stand for the value and
what others carry of it where those are silent, by projection on the probe (`projection`) or by
what their ablation costs a later probe (`ablation`); or how well a few latents say where it is
(`sparse`, see `saes.sparse`). SAEs of one site share the probes. Three tables; what belongs to a
method that was not asked for is NaN there, 0 where it counts, or no row:

``values.parquet``
    One row per value: ``concept``, ``value``, ``label``, ``tokens`` (labelled), ``probe_f1`` (held
    out), ``counts`` (whether that reaches `least_f1`), ``true_positives`` (of the probe, among all
    its tokens: absorption is measured there), ``main`` (number of main latents), ``latents``
    (which, strongest first, with commas), ``f1_first``, ``f1`` (held out, of the first main latent
    and of all), ``silent`` (true positives where no main latent fires), ``full``, ``full_null``,
    ``full_p``, ``fraction``, ``fraction_null``, ``fraction_p``: full absorption and absorbed
    fraction, mean over the true positives; null and p from random linear concepts, as frequent as a
    value of this concept is in the mean. Of the ablation: ``attributed`` (tokens), ``judge`` (site
    of the probe that is the metric), ``judge_f1`` (of it, held out), ``ablated``, ``ablated_null``,
    ``ablated_p``: share of the true positives that is absorbed, its null and p. They are NaN where
    the judge has a lower F1 than `least_f1`, and random concepts with such a judge are left out.
``absorbers.parquet``
    One row per method, value and latent that absorbs it fully: ``method``, ``concept``, ``value``,
    ``feature``, ``tokens`` (among those attributed), ``cosine`` (with the probe), ``common`` (the
    token there most often).
``sparse.parquet``
    One row per value and number of latents ``k``: ``concept``, ``value``, ``label``, ``tokens``,
    ``latents`` (which, with commas), ``f1``, ``accuracy``, ``auc`` on held-out contexts, and each
    of the same probe on k dimensions of the activations (``_neurons``), on latents with shuffled
    labels (``_shuffled``) and of the probe on all dimensions (``_dense``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from interpsweep.config.base import own_fields
from interpsweep.config.probes import ProbesSettings
from interpsweep.context import Context, Item, Stopped
from interpsweep.corpora.artifact import Corpus
from interpsweep.saes import ablation, absorption, sparse
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.codes import Codes
from interpsweep.saes.concept_samples import Judges, Sample, draw_samples
from interpsweep.spec import canonical_json
from interpsweep.tables import typed, write_json, write_parquet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MEASURES = ("full", "fraction", "ablated")
VALUE_COLUMNS = {
    "concept": str,
    "value": "int32",
    "label": str,
    "tokens": "int64",
    "probe_f1": "float64",
    "counts": bool,
    "true_positives": "int64",
    "main": "int32",
    "latents": str,
    **dict.fromkeys(("f1_first", "f1"), "float64"),
    **dict.fromkeys(("silent", "attributed"), "int64"),
    "judge": str,
    "judge_f1": "float64",
    **{f"{name}{end}": "float64" for name in MEASURES for end in ("", "_null", "_p")},
}
ABSORBER_COLUMNS = {
    **dict.fromkeys(("method", "concept"), str),
    **dict.fromkeys(("value", "feature"), "int32"),
    "tokens": "int64",
    "cosine": "float64",
    "common": str,
}


@dataclass(frozen=True)
class Site:
    """What the SAEs of a group share: concepts with probes, and where ablation is judged."""

    samples: list[Sample]
    judge: str
    beyond: Any  # saes.downstream.Downstream, None where the judge is at the site itself
    settings: ProbesSettings

    @cached_property
    def baselines(self) -> list[sparse.Baselines]:
        """What sparse probes of each concept are shown beside."""
        return [sparse.baselines(one, self.settings) for one in self.samples]


def run(items: list[Item], ctx: Context) -> None:
    """Probe the SAEs of a site; those with the same settings and tokens share their probes."""
    sites: dict[tuple[Any, ...], Site] = {}
    for item in items:
        if ctx.stopping:
            return
        settings = own_fields(ProbesSettings, item.spec["settings"])
        codes = Codes.open(item.inputs["codes"])
        others = {role: path for role, path in item.inputs.items() if role not in ("sae", "codes")}
        shared = (canonical_json(item.spec["settings"]), codes.rows, repr(others))
        if shared not in sites:
            sites[shared] = _site(item, codes, settings, ctx)
        item.publish(_write(item, sites[shared], codes, settings, ctx))


def _site(item: Item, codes: Codes, s: ProbesSettings, ctx: Context) -> Site:
    """Learn the probes, and load the model if a later site judges."""
    place, inputs = item.spec["settings"], dict(item.inputs)
    if "later" not in inputs:
        return Site(draw_samples(inputs, codes.rows, s), place.get("site", ""), None, s)
    from interpsweep.models.load import load_model  # torch: for this method only
    from interpsweep.saes.downstream import Downstream

    model = load_model(place["model"], inputs.get("model"), ctx)
    site, later = place["site"], place["later_site"]
    if not model.replaceable(site):
        ctx.log(f"{site}: the skip connection goes around it, so ablation is judged there")
        del inputs["later"]
        return Site(draw_samples(inputs, codes.rows, s), site, None, s)
    corpus = Corpus.open(inputs["corpus"])
    beyond = Downstream(model, site, later, corpus, s.batch_tokens, ctx)
    return Site(draw_samples(inputs, codes.rows, s), later, beyond, s)


def _write(item: Item, site: Site, codes: Codes, s: ProbesSettings, ctx: Context) -> dict[str, Any]:
    sae = Dictionary.open(item.inputs["sae"])
    values: list[dict[str, Any]] = []
    absorbers: list[dict[str, Any]] = []
    few: list[dict[str, Any]] = []
    absorbs = not {"projection", "ablation"}.isdisjoint(s.methods)
    total = sum((len(one.values) + s.draws) * absorbs + 1 for one in site.samples)
    with ctx.bar(total, "probing", unit="concepts") as bar:

        def done() -> None:
            bar.advance()
            if ctx.stopping:
                raise Stopped("probe: stopped; run the same command to start this item again")

        for i, one in enumerate(site.samples):
            held = read_codes(codes, one.rows)
            if "sparse" in s.methods:
                few += sparse.rows(one, site.baselines[i], held, s)
            done()
            if not absorbs:
                continue
            measured = Measured(one, site, sae, held, s, done)
            for v in range(len(one.values)):
                row, found = measured.value(v)
                values.append(row)
                absorbers += found
                done()
    table = typed(values, VALUE_COLUMNS)
    write_parquet(table, item.out / "values.parquet")
    write_parquet(typed(absorbers, ABSORBER_COLUMNS), item.out / "absorbers.parquet")
    of_few = typed(few, sparse.COLUMNS)
    write_parquet(of_few, item.out / "sparse.parquet")
    counted = table[table["counts"]]
    summary: dict[str, Any] = {"values": len(table), "counted": len(counted)}
    for name in (*(f"{name}{end}" for name in MEASURES for end in ("", "_null")), "main"):
        known = counted[name].dropna()
        summary[name] = float(known.mean()) if len(known) else None
    summary |= {f"f1_of_{k}": float(f1) for k, f1 in of_few.groupby("k")["f1"].mean().items()}
    write_json(summary, item.out / "summary.json")
    return summary


@dataclass(frozen=True)
class Ablated:
    """What ablation says of some tokens."""

    share: float  # of all of them that is absorbed
    rows: Ints  # (m,) those attributed
    absorber: Ints  # (m,) -1 = none


class Measured:
    """One concept on one SAE. `done` is called after each random concept."""

    def __init__(
        self,
        sample: Sample,
        site: Site,
        sae: Dictionary,
        codes: csr_matrix,
        s: ProbesSettings,
        done: Callable[[], None],
    ) -> None:
        self.sample, self.site, self.codes, self.settings = sample, site, codes, s
        self.decoder = sae.directions.astype(np.float64)
        # what latents add up to lacks the decoder bias
        self.x = sample.x - np.asarray(sae.b_dec, np.float64)
        self.null = self._by_chance(done)

    def _by_chance(self, done: Callable[[], None]) -> dict[str, Floats]:
        """Every measure of the random concepts."""
        one, s = self.sample, self.settings
        which, main, ablated = one.random.towards(self.x), [], []
        concepts = one.random.chosen(which)
        for k, true in zip(which, concepts.true.T, strict=True):
            main.append(absorption.main_latents(self.codes, true, one.test, s).latents)
            if one.judges is not None and one.judges[1].f1[k] >= s.least_f1:
                right = np.flatnonzero(true & (one.judges[1].here.of(k, one.x) > 0))
                rng = np.random.default_rng([s.seed, 2, k])
                ablated.append(self._ablated(right, main[-1], one.judges[1], k, rng).share)
            done()
        null = {"ablated": np.array(ablated)}
        if "projection" in s.methods:
            found = absorption.chance(self.codes, self.x, self.decoder, concepts, main, s)
            null |= found._asdict()
        return null

    def value(self, v: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The row of a value, and its rows of `absorbers.parquet`."""
        one, s = self.sample, self.settings
        true = one.value == v
        main = absorption.main_latents(self.codes, true, one.test, s)
        here = np.flatnonzero(true & (one.probes.of(v, one.x) > 0))
        value = int(one.values[v])
        row = {
            "concept": one.name,
            "value": value,
            "label": one.labels[value],
            "tokens": int(true.sum()),
            "probe_f1": one.f1[v],
            "counts": bool(one.f1[v] >= s.least_f1 and len(here)),
            "true_positives": len(here),
            "main": len(main.latents),
            "latents": ",".join(map(str, main.latents)),
            "f1_first": main.f1_first,
            "f1": main.f1,
            "silent": int(absorption.silent(self.codes[here], main.latents).sum()),
            "attributed": 0,
            "judge": "",
            "judge_f1": np.nan,
        }
        seen, absorbers = dict.fromkeys(MEASURES, np.nan), []
        if "projection" in s.methods:
            found = absorption.absorbed(
                self.codes[here], self.x[here], self.decoder, self._probe(v), main.latents, s
            )
            if len(here):
                seen |= {"full": found.full.mean(), "fraction": found.fraction.mean()}
            full = np.where(found.full, found.absorber, -1)
            absorbers += self._absorbers("projection", v, here, full)
        if one.judges is not None:
            judges = one.judges[0]
            row |= {"judge": self.site.judge, "judge_f1": judges.f1[v]}
            if judges.f1[v] >= s.least_f1:
                rng = np.random.default_rng([s.seed, 3, v])
                gone = self._ablated(here, main.latents, judges, v, rng)
                row["attributed"], seen["ablated"] = len(gone.rows), gone.share
                absorbers += self._absorbers("ablation", v, gone.rows, gone.absorber)
        return row | self._beside_chance(seen), absorbers

    def _ablated(
        self, right: Ints, main: Ints, judges: Judges, k: int, rng: np.random.Generator
    ) -> Ablated:
        """Absorption of what probe `k` finds on the rows `right`, by ablation."""
        s = self.settings
        rows = right[absorption.silent(self.codes[right], main)]
        candidates = len(rows)
        if candidates > s.ablated:
            rows = np.sort(rng.choice(rows, s.ablated, replace=False))
        if not candidates:
            return Ablated(0.0 if len(right) else np.nan, rows, rows)
        codes = self.codes[rows]
        gradient = self._gradients(rows, codes, judges.weights[k])
        cost = ablation.costs(codes, self.decoder, gradient)
        absorber = ablation.absorbers(cost, self.decoder @ judges.here.directions()[k], s)
        share = float((absorber >= 0).mean()) * candidates / len(right)
        return Ablated(share, rows, absorber)

    def _gradients(self, rows: Ints, codes: csr_matrix, weights: Floats) -> Floats:
        """Mean gradients (m, d) of the judge's logit, by the activations of some tokens."""
        if self.site.beyond is None:  # linear: the same everywhere
            return np.broadcast_to(weights, (len(rows), len(weights)))
        carried = np.asarray(codes @ self.decoder)
        tokens = self.sample.tokens[rows]
        return self.site.beyond.gradients(tokens, weights, carried, self.settings.steps)

    def _beside_chance(self, seen: dict[str, float]) -> dict[str, float]:
        """Every measure with its null and p."""
        row: dict[str, float] = {}
        for name, mean in seen.items():
            null = self.null.get(name, np.zeros(0))
            known = bool(len(null)) and not np.isnan(mean)
            p = (1 + np.sum(null >= mean)) / (1 + len(null)) if known else np.nan
            average = float(null.mean()) if len(null) else np.nan
            row |= {name: float(mean), f"{name}_null": average, f"{name}_p": float(p)}
        return row

    def _probe(self, v: int) -> Floats:
        return self.sample.probes.directions()[v]

    def _absorbers(self, method: str, v: int, rows: Ints, by: Ints) -> list[dict[str, Any]]:
        """Latents that absorb value `v` on some rows, `by` (m,); -1 = none."""
        latents, count = np.unique(by[by >= 0], return_counts=True)
        made = []
        for latent, tokens in sorted(zip(latents, count, strict=True), key=lambda f: -f[1]):
            words, often = np.unique(self.sample.words[rows[by == latent]].astype(str),
                                     return_counts=True)  # fmt: skip
            made.append(
                {
                    "method": method,
                    "concept": self.sample.name,
                    "value": int(self.sample.values[v]),
                    "feature": int(latent),
                    "tokens": int(tokens),
                    "cosine": float(self.decoder[latent] @ self._probe(v)),
                    "common": str(words[often.argmax()]).strip(),
                }
            )
        return made


def read_codes(codes: Codes, rows: Ints) -> csr_matrix:
    """Codes (n, d_sae) of ascending positions among the encoded rows."""
    parts = []
    for start, stop in codes.chunks():
        first, last = np.searchsorted(rows, (start, stop))
        if first < last:
            parts.append(codes.read(start, stop)[rows[first:last] - start])
    return csr_matrix(vstack(parts, format="csr"))
