"""Key findings in plain sentences: effects beside their nulls and q-values, misses included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from interpsweep.figures.metrics import newest
from interpsweep.report.text import listing, number, plural, share

Tone = Literal["good", "mixed", "miss", "fact"]
# of claims, in the order in which they are read; others follow
KINDS = (
    "concept",
    "intervention",
    "cluster",
    "tree",
    "family",
    "width step",
    "layer step",
    "match",
    "dictionary",
)
CONTROL = ("concept", "order")  # labelled categories without a shape: nothing should be claimed
GOOD = 0.8  # F1 of edges
MASSIVE_MOMENT = 0.05  # share of the second moment in massive rows that is worth a sentence
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Finding:
    """One sentence of the summary; `tone` colours its mark."""

    tone: Tone
    head: str
    text: str


def findings(tables: Tables, most: int) -> list[Finding]:
    """The sweep's results in words, calibration first; at most `most`."""
    made = [
        *_recovery(tables["recovery"]),
        *_edges(tables["edge_scores"]),
        *_massive(tables["masks"]),
        *_dictionaries(tables["saes"]),
        *_matching(tables["matching"]),
        *_families(tables["families"]),
        *_claimed(tables["claims"]),
    ]
    return made[:most]


def _recovery(found: pd.DataFrame) -> list[Finding]:
    """What was planted and found, what was missed, and what the controls say."""
    if found.empty:
        return []
    made = []
    planted = found[~found["verdict"].isin(("nothing claimed", "false claim"))]
    controls = found[found["verdict"].isin(("nothing claimed", "false claim"))]
    if len(planted):
        count = planted["verdict"].value_counts()
        good = int(count.get("recovered", 0))
        tone: Tone = "good" if good == len(planted) else "miss"
        if len(planted) > good >= len(planted) / 2:
            tone = "mixed"
        text = (
            f"{good} of {plural(len(planted), 'planted structure')} (concepts times dictionaries) "
            f"recovered, {int(count.get('partly', 0))} partly, "
            f"{int(count.get('not recovered', 0))} not."
        )
        weak = [
            f"{concept} ({share((of['verdict'] == 'recovered').mean())})"
            for concept, of in planted.groupby("concept")
            if (of["verdict"] != "recovered").any()
        ]
        if weak:
            text += f" Recovered in only part of the dictionaries: {listing(weak)}."
        made.append(Finding(tone, "Calibration", text))
    if len(controls):
        false = int((controls["verdict"] == "false claim").sum())
        text = (
            f"On {plural(len(controls), 'control')} without a shape the instrument made "
            f"{plural(false, 'false claim')} ({share(false / len(controls))})."
        )
        made.append(Finding("miss" if false else "good", "Controls", text))
    return made


def _edges(scores: pd.DataFrame) -> list[Finding]:
    """Parent-child edges against the planted trees of worlds."""
    if scores.empty:
        return []
    all_steps = scores[(scores["level"] == -1) & (scores["type"] == "parent_child")]
    true, found, right = (int(all_steps[name].sum()) for name in ("true", "found", "right"))
    if true + found == 0:
        return []
    f1 = 2 * right / (true + found)
    text = (
        f"{plural(true, 'child', 'children')} of a planted parent, {plural(found, 'edge')} of "
        f"parent and child found, {right} of them right: F1 {number(f1)}."
    )
    return [Finding("good" if f1 >= GOOD else "miss", "Planted trees", text)]


def _claimed(claims: pd.DataFrame) -> list[Finding]:
    """A finding per kind and test; one for all tests of a kind of which no claim holds."""
    made: list[Finding] = []
    if claims.empty:
        return made
    for kind in [*KINDS, *sorted(set(claims["kind"]) - set(KINDS))]:
        of = claims[claims["kind"] == kind]
        if of.empty:
            continue
        if kind == CONTROL[0] or (of["verdict"] == "claimed").any():
            made += [_test(kind, test, rows) for test, rows in of.groupby("test", sort=True)]
        else:
            tests = listing(_words(of["test"].unique()))
            text = f"None of {plural(len(of), 'test')} ({tests}) holds ({_smallest(of)})."
            made.append(Finding("miss", str(kind).capitalize(), text))
    return sorted(made, key=lambda finding: finding.tone == "miss")


def _test(kind: str, test: str, of: pd.DataFrame) -> Finding:
    """How many claims of one test hold, the clearest one, and how often seeds agree."""
    held = of[of["verdict"] == "claimed"]
    if (kind, test) == CONTROL:
        controls = plural(len(of), "control")
        text = f"{plural(len(held), 'claim')} of an order in {controls} that have none."
        return Finding("miss" if len(held) else "good", "Concept: controls", text)
    head = f"{kind.capitalize()}: {_words([test])[0]}"
    if held.empty:
        return Finding("miss", head, f"None of {plural(len(of), 'test')} holds ({_smallest(of)}).")
    top = held.sort_values(["q", "p", "effect"], ascending=[True, True, False]).iloc[0]
    text = (
        f"{len(held)} of {plural(len(of), 'test')} {'holds' if len(held) == 1 else 'hold'} "
        f"after correction. Clearest: {_subject(top)}{_at(top)}, "
        f"effect {number(top['effect'])} "
        f"against {number(top['null_effect'])} under the null ({top['null']}), "
        f"q\u00a0=\u00a0{number(top['q'])}."
    )
    several = held[held["seeds"] > 1]
    if len(several):
        again = int((several["replicated_seeds"] == several["seeds"]).sum())
        text += f" {again} of {len(several)} hold in every seed."
    return Finding("good" if len(held) == len(of) else "mixed", head, text)


def _smallest(of: pd.DataFrame) -> str:
    return f"smallest q {number(of['q'].min())}"


def _words(tests: Iterable[str]) -> list[str]:
    return sorted(test.replace("_", " ") for test in tests)


def _subject(row: pd.Series) -> str:
    """Clusters are numbered; everything else has a name."""
    return f"cluster {row['subject']}" if row["kind"] == "cluster" else str(row["subject"])


def _at(row: pd.Series) -> str:
    parts = [str(row[key]) for key in ("site",) if row.get(key)]
    if row.get("d_sae", -1) > 0:
        parts.append(f"{int(row['d_sae']):,} latents")
    return f" ({', '.join(parts)})" if parts else ""


def _matching(matching: pd.DataFrame) -> list[Finding]:
    """What the next width keeps, against another seed and against chance."""
    if matching.empty:
        return []
    steps = matching[matching["direction"] == "width"]
    if steps.empty:
        return []
    text = (
        f"A latent's nearest neighbour in the next wider dictionary has a mean cosine of "
        f"{number(steps['mmcs_ab'].mean())}"
    )
    horizontal = steps["horizontal_mmcs_ab"].mean()
    if pd.notna(horizontal):
        text += f", in another seed of the same width {number(horizontal)}"
    text += f", in covariance-matched random dictionaries {number(steps['null_mmcs_ab'].mean())}"
    text += f" (largest p {number(steps['p'].max())})." if steps["p"].notna().any() else "."
    return [Finding("fact", "Across widths", text)]


def _families(families: pd.DataFrame) -> list[Finding]:
    """Shares of the relations of the widest step."""
    if families.empty:
        return []
    widest = families[families["d_wide"] == families["d_wide"].max()]
    by = (
        widest.groupby("type")["fraction"].agg(["mean", "std"]).sort_values("mean", ascending=False)
    )
    parts = [
        f"{str(kind).replace('_', ' ')} {share(row['mean'])}"
        + (f" ± {share(row['std'])}" if pd.notna(row["std"]) else "")
        for kind, row in by.iterrows()
        if kind not in ("rare", "root") and row["mean"] > 0
    ]
    step = f"{int(widest['d_narrow'].iloc[0]):,} to {int(widest['d_wide'].iloc[0]):,} latents"
    return [Finding("fact", "Lineages", f"From {step}: {listing(parts, 7)} (± over families).")]


def _massive(masks: pd.DataFrame) -> list[Finding]:
    """Few rows that carry much of the second moment: where, and whether they are left out."""
    if masks.empty:
        return []
    found = masks[masks["massive_second_moment"] > MASSIVE_MOMENT]
    if found.empty:
        return []
    parts = []
    for _, row in found.iterrows():
        left = row["left_out_second_moment"] / row["massive_second_moment"]
        kept = "which are left out" if left > 1 - MASSIVE_MOMENT else "which are NOT left out"
        parts.append(
            f"at {row['site']} {share(row['massive_share'])} of the rows carry "
            f"{share(row['massive_second_moment'])} of the second moment, {kept}"
        )
    loud = found["left_out_second_moment"] < 0.5 * found["massive_second_moment"]
    text = f"Rows above ten medians of the norm: {listing(parts, 6)}."
    return [Finding("miss" if loud.any() else "fact", "Massive activations", text)]


def _dictionaries(saes: pd.DataFrame) -> list[Finding]:
    """Range of reconstruction quality."""
    name = newest("explained_variance", list(saes.columns))
    if saes.empty or name is None or saes[name].isna().all():
        return []
    best, worst = saes.loc[saes[name].idxmax()], saes[name].min()
    text = (
        f"{plural(len(saes), 'dictionary', 'dictionaries')}; explained variance from "
        f"{number(worst)} to {number(best[name])}{_at(best)}."
    )
    return [Finding("fact", "Reconstruction", text)]
