"""Stage ``probe``: absorption of labelled concepts, measured with probes (an option).

Every value of a concept gets a logistic probe on the activations of the analysis split, learned on
four fifths of the contexts, and every SAE is asked which of its latents stand for the value and
what others carry of it where those are silent (`saes.absorption`). SAEs of one site share the
probes. Two tables:

``values.parquet``
    One row per value: ``concept``, ``value``, ``label``, ``tokens`` (labelled), ``probe_f1`` (held
    out), ``counts`` (whether that reaches `least_f1`), ``true_positives`` (of the probe, among all
    its tokens: absorption is measured there), ``main`` (number of main latents), ``latents``
    (which, strongest first, with commas), ``f1_first``, ``f1`` (held out, of the first main latent
    and of all), ``full``, ``full_null``, ``full_p``, ``fraction``, ``fraction_null``,
    ``fraction_p``: full absorption and absorbed fraction, mean over the true positives; null and p
    from random linear concepts, as frequent as a value of this concept is in the mean.
``absorbers.parquet``
    One row per value and latent that absorbs it fully: ``concept``, ``value``, ``feature``,
    ``tokens``, ``cosine`` (with the probe), ``common`` (the token there most often).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from interpsweep.activations.artifact import Activations
from interpsweep.config.base import own_fields
from interpsweep.config.probes import ProbesSettings
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.errors import UserError, nearest
from interpsweep.jobs import Item
from interpsweep.saes import absorption
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.codes import Codes
from interpsweep.saes.linear import Probes, f1, one_vs_rest
from interpsweep.tables import typed, write_json, write_parquet

FIRST_LETTER = "first letter"
HELD_OUT = 5  # one context in so many
Ints = NDArray[np.int64]
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
    **dict.fromkeys(("full", "full_null", "full_p"), "float64"),
    **dict.fromkeys(("fraction", "fraction_null", "fraction_p"), "float64"),
}
ABSORBER_COLUMNS = {
    "concept": str,
    **dict.fromkeys(("value", "feature"), "int32"),
    "tokens": "int64",
    "cosine": "float64",
    "common": str,
}


@dataclass(frozen=True)
class Asked:
    """The sample of one concept, and its probes."""

    name: str
    labels: list[str]
    values: Ints  # (v,) those with enough tokens
    rows: Ints  # (n,) positions among the encoded rows, ascending
    value: Ints  # (n,) index into `values`
    test: NDArray[np.bool_]  # (n,)
    x: NDArray[np.float64]  # (n, d) activations
    probes: Probes
    f1: NDArray[np.float64]  # (v,) held out
    words: NDArray[Any]  # (n,) tokens


def run(items: list[Item], ctx: Context) -> None:
    """Probe the SAEs of a site; those with the same settings and tokens share their probes."""
    asked: dict[tuple[Any, ...], list[Asked]] = {}
    for item in items:
        if ctx.stopping:
            return
        settings = own_fields(ProbesSettings, item.spec["settings"])
        codes = Codes.open(item.inputs["codes"])
        key = (settings, codes.rows, item.inputs["activations"], item.inputs["corpus"])
        if key not in asked:
            asked[key] = ask(item.inputs, codes.rows, settings)
        item.publish(_write(item, asked[key], codes, settings, ctx))


def ask(inputs: dict[str, Any], rows: tuple[int, int], s: ProbesSettings) -> list[Asked]:
    """Sample the labelled tokens of every concept and learn its probes.

    Raises UserError if a concept is unknown or nothing has enough tokens.
    """
    corpus, activations = Corpus.open(inputs["corpus"]), Activations.open(inputs["activations"])
    flat = np.asarray(activations.token(*rows), np.int64)
    context = np.asarray(activations.context(*rows))
    begin, end = int(flat.min()), int(flat.max()) + 1
    words = np.array([*corpus.vocabulary], dtype=object)[
        np.asarray(corpus.flat(begin, end))[flat - begin]
    ]
    rng, made = np.random.default_rng(s.seed), []
    for name, (labels, value) in labelled(corpus, flat, words, s).items():
        count = np.bincount(value[value >= 0], minlength=len(labels))
        values = np.flatnonzero(count >= s.min_tokens)
        here = np.flatnonzero(np.isin(value, values))
        if len(values) < 2:  # one against others
            continue
        if len(here) > s.tokens:
            here = np.sort(rng.choice(here, s.tokens, replace=False))
        x = read_rows(activations, rows[0] + here)
        one, test = np.searchsorted(values, value[here]), context[here] % HELD_OUT == 0
        probes = one_vs_rest(x[~test], one[~test], len(values), s.ridge)
        said = probes.logits(x[test]) > 0
        held_out = np.array([f1(said[:, v], one[test] == v) for v in range(len(values))])
        made.append(Asked(name, labels, values, here, one, test, x, probes, held_out, words[here]))
    if not made:
        raise UserError(
            f"probes: no concept of {corpus.path} has two values with {s.min_tokens} labelled "
            "tokens on the analysis split; lower probes.min_tokens, or enlarge the split"
        )
    return made


def labelled(
    corpus: Corpus, flat: Ints, words: NDArray[Any], s: ProbesSettings
) -> dict[str, tuple[list[str], Ints]]:
    """Names of the values, and the value of every row (-1 = none), of each chosen concept."""
    known = list(corpus.concepts)
    for name in s.concepts:
        if name not in known:
            raise UserError(
                f"probes.concepts: the corpus has no labelled concept {name!r}"
                f"{nearest(name, known)}; known: {', '.join(known) or 'none'}"
            )
    made = {
        name: (list(corpus.concepts[name]["values"]), corpus.label(name)[flat].astype(np.int64))
        for name in s.concepts or known
    }
    if s.first_letters:
        made[FIRST_LETTER] = first_letters(words)
    return made


def first_letters(words: NDArray[Any]) -> tuple[list[str], Ints]:
    """The letters a to z, and which one begins the word that begins at each token, -1 = none."""
    letters = [chr(ord("a") + i) for i in range(26)]
    place = {letter: i for i, letter in enumerate(letters)}
    kinds = {
        word: place.get(word[1].lower(), -1) if len(word) > 1 and word[0] == " " else -1
        for word in set(words)
    }
    return letters, np.array([kinds[word] for word in words], np.int64)


def read_rows(activations: Activations, rows: Ints) -> NDArray[np.float64]:
    """Activations (n, d) of ascending rows, read chunk by chunk."""
    size = activations.chunk_rows
    parts = []
    for chunk in np.unique(rows // size):
        mine = rows[rows // size == chunk]
        block = activations.read(int(mine[0]), int(mine[-1]) + 1)
        parts.append(block[mine - mine[0]].astype(np.float64))
    return np.concatenate(parts)


def _write(
    item: Item, asked: list[Asked], codes: Codes, s: ProbesSettings, ctx: Context
) -> dict[str, Any]:
    sae = Dictionary.open(item.inputs["sae"])
    values: list[dict[str, Any]] = []
    absorbers: list[dict[str, Any]] = []
    with ctx.bar(sum(len(one.values) for one in asked), "probing", unit="values") as bar:
        for one in asked:
            measured = Measured(one, sae, read_codes(codes, one.rows), s)
            for v in range(len(one.values)):
                row, found = measured.value(v)
                values.append(row)
                absorbers += found
                bar.advance()
    table = typed(values, VALUE_COLUMNS)
    write_parquet(table, item.out / "values.parquet")
    write_parquet(typed(absorbers, ABSORBER_COLUMNS), item.out / "absorbers.parquet")
    counted = table[table["counts"]]
    summary: dict[str, Any] = {"values": len(table), "counted": len(counted)}
    for name in ("full", "full_null", "fraction", "fraction_null", "main"):
        summary[name] = float(counted[name].mean()) if len(counted) else None
    write_json(summary, item.out / "summary.json")
    return summary


class Measured:
    """One concept on one SAE."""

    def __init__(self, asked: Asked, sae: Dictionary, codes: csr_matrix, s: ProbesSettings) -> None:
        self.asked, self.codes, self.settings = asked, codes, s
        self.decoder = sae.directions.astype(np.float64)
        # what latents add up to lacks the decoder bias
        self.x = asked.x - np.asarray(sae.b_dec, np.float64)
        share = 1 / len(asked.values)
        rng = np.random.default_rng([s.seed, 1])
        self.chance = absorption.chance(codes, self.x, self.decoder, asked.test, share, s, rng)

    def value(self, v: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The row of a value, and its rows of `absorbers.parquet`."""
        one, s = self.asked, self.settings
        true = one.value == v
        main = absorption.main_latents(self.codes, true, one.test, s)
        right = true & (one.probes.logits(one.x)[:, v] > 0)
        here = np.flatnonzero(right)
        probe = one.probes.directions()[v]
        found = absorption.absorbed(
            self.codes[here], self.x[here], self.decoder, probe, main.latents, s
        )
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
        }
        for name, seen, null in (
            ("full", found.full, self.chance.full),
            ("fraction", found.fraction, self.chance.fraction),
        ):
            mean = float(seen.mean()) if len(here) else np.nan
            p = (1 + np.sum(null >= mean)) / (1 + len(null)) if len(here) else np.nan
            row |= {name: mean, f"{name}_null": float(null.mean()), f"{name}_p": float(p)}
        return row, self._absorbers(found, here, probe, value)

    def _absorbers(
        self, found: absorption.Absorbed, here: Ints, probe: NDArray[np.float64], value: int
    ) -> list[dict[str, Any]]:
        rows, by = here[found.full], found.absorber[found.full]
        latents, count = np.unique(by, return_counts=True)
        made = []
        for latent, tokens in sorted(zip(latents, count, strict=True), key=lambda f: -f[1]):
            words, often = np.unique(self.asked.words[rows[by == latent]].astype(str),
                                     return_counts=True)  # fmt: skip
            made.append(
                {
                    "concept": self.asked.name,
                    "value": value,
                    "feature": int(latent),
                    "tokens": int(tokens),
                    "cosine": float(self.decoder[latent] @ probe),
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
