"""k-sparse probing: how well a few latents say where a value of a concept is, on held-out contexts.

Gurnee et al. 2023, "Finding neurons in a haystack", as SAEBench (Karvonen et al. 2025, evals/
`sparse_probing`) applies it to latents: the k units whose mean activation differs most between
tokens with and without the value, on the training contexts, and a logistic regression on them.
Beside it, in the same way: k dimensions of the activations themselves, latents of a value whose
labels are shuffled, and the probe on all dimensions (`saes.linear`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from interpsweep.config.probes import ProbesSettings
from interpsweep.saes.concept_samples import Sample
from interpsweep.saes.linear import f1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
MEASURES = ("f1", "accuracy", "auc")
BESIDE = ("neurons", "shuffled", "dense")  # what each measure is shown beside
COLUMNS = {
    "concept": str,
    "value": "int32",
    "label": str,
    "tokens": "int64",
    "k": "int32",
    "latents": str,
    **dict.fromkeys(MEASURES, "float64"),
    **{f"{name}_{other}": "float64" for other in BESIDE for name in MEASURES},
}


class Scores(NamedTuple):
    """What a probe says on held-out tokens, and the units it reads."""

    units: Ints
    f1: float
    accuracy: float
    auc: float


class Baselines(NamedTuple):
    """Of each value of a concept, what no SAE is needed for."""

    neurons: list[list[Scores]]  # for each k
    dense: list[Scores]


def baselines(sample: Sample, s: ProbesSettings) -> Baselines:
    """The probes on activations that the SAEs of a site share."""
    values = range(len(sample.values))
    neurons = [probes(sample.x, sample.value == v, sample.test, s.sparse_latents) for v in values]
    nothing = np.zeros(0, np.int64)
    logits = sample.probes.logits(sample.x[sample.test])
    dense = [_scores(nothing, logits[:, v], sample.value[sample.test] == v) for v in values]
    return Baselines(neurons, dense)


def rows(
    sample: Sample, beside: Baselines, codes: csr_matrix, s: ProbesSettings
) -> list[dict[str, Any]]:
    """Rows of `sparse.parquet` of one concept on the codes (n, d_sae) of an SAE."""
    made = []
    for v, value in enumerate(sample.values.tolist()):
        true, rng = sample.value == v, np.random.default_rng([s.seed, 4, v])
        found = probes(codes, true, sample.test, s.sparse_latents)
        shuffled = probes(codes, _shuffled(true, sample.test, rng), sample.test, s.sparse_latents)
        for k, own, chance, neurons in zip(
            s.sparse_latents, found, shuffled, beside.neurons[v], strict=True
        ):
            others = zip(BESIDE, (neurons, chance, beside.dense[v]), strict=True)
            made.append(
                {
                    "concept": sample.name,
                    "value": value,
                    "label": sample.labels[value],
                    "tokens": int(true.sum()),
                    "k": k,
                    "latents": ",".join(map(str, own.units)),
                    **{name: getattr(own, name) for name in MEASURES},
                    **{f"{m}_{o}": getattr(one, m) for o, one in others for m in MEASURES},
                }
            )
    return made


def probes(
    units: csr_matrix | Floats, true: Bools, test: Bools, ks: tuple[int, ...]
) -> list[Scores]:
    """A probe for each k on `units` (n, d), of where `true` (n,) is, judged on the rows `test`."""
    learn = ~test
    difference = np.abs(_mean(units[learn & true]) - _mean(units[learn & ~true]))
    order = np.argsort(-difference, kind="stable")[: max(ks)].astype(np.int64)
    columns = units[:, order]
    columns = np.asarray(columns if isinstance(columns, np.ndarray) else columns.toarray(), float)
    # the penalty of the regression asks the same of all: units of one spread
    columns = columns / np.maximum(columns[learn].std(axis=0), 1e-12)
    found = []
    for k in ks:
        probe = LogisticRegression(max_iter=500, class_weight="balanced")
        probe.fit(columns[learn, :k], true[learn])
        found.append(_scores(order[:k], probe.decision_function(columns[test, :k]), true[test]))
    return found


def _mean(rows: csr_matrix | Floats) -> Floats:
    return np.asarray(rows.mean(axis=0), np.float64).ravel()


def _scores(units: Ints, logit: Floats, true: Bools) -> Scores:
    said = logit > 0
    auc = float(roc_auc_score(true, logit)) if 0 < true.sum() < len(true) else float("nan")
    return Scores(units, f1(said, true), float(np.mean(said == true)), auc)


def _shuffled(true: Bools, test: Bools, rng: np.random.Generator) -> Bools:
    """As many tokens of the value on both sides, at random."""
    made = true.copy()
    for side in (test, ~test):
        made[side] = rng.permutation(true[side])
    return made
