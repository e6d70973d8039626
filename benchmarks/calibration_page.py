"""Tables and pictures of docs/calibration.md from the runs of calibration.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import picture_calibration
import picture_power
from scipy.stats import binomtest

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style
from interpsweep.report import measured

BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
CASE = ["shape", "size", "noise", "tokens"]


def false_discoveries(runs: list[dict[str, Any]], level: float) -> pd.DataFrame:
    """One row per kind; intervals are exact over families, those of p from the spread over runs."""
    frame = pd.DataFrame([row for row in runs if row["part"] != "power"])
    rows = []
    for kind, of in frame.groupby("kind", sort=False):
        n, wrong = int(of["families"].sum()), int(of["false_families"].sum())
        low, high = interval(wrong, n)
        spread = 1.96 * float(of["below"].std()) / len(of) ** 0.5
        rows.append(
            {
                "kind": kind,
                "runs": len(of),
                "families": n,
                "clusters": round(float(of["clusters"].mean()), 1),
                "tests": int(of["tests"].sum()),
                "claims": int(of["claims"].sum()),
                "false": int(of["false"].sum()),
                "simplex": sum(names.count("simplex") for names in of["names"]),
                "false_families": wrong,
                "fdr": float(of["false_shares"].sum()) / n,
                "share": wrong / n,
                "share_low": low,
                "share_high": high,
                "binomial_p": float(binomtest(wrong, n, level, alternative="greater").pvalue),
                "p05": float(of["below"].mean()),
                "p05_low": float(of["below"].mean()) - spread,
                "p05_high": float(of["below"].mean()) + spread,
            }
        )
    return pd.DataFrame(rows)


def detections(runs: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per planted case; the interval is exact."""
    made = [{**row["case"], **row} for row in runs if row["part"] == "power"]
    if not made:
        return pd.DataFrame()
    groups = pd.DataFrame(made).groupby(CASE, sort=False)
    table = groups[["gathered", "claimed", "named"]].mean()
    found = zip(groups["named"].sum(), groups.size(), strict=True)
    low, high = np.transpose([interval(int(k), int(n)) for k, n in found])
    return table.assign(named_low=low, named_high=high, runs=groups.size()).reset_index()


def interval(found: int, of: int) -> tuple[float, float]:
    """Exact 95% interval of a share (Clopper & Pearson 1934)."""
    low, high = binomtest(found, of).proportion_ci()
    return float(low), float(high)


def write(docs: Path, runs: list[dict[str, Any]], level: float, alpha: float) -> None:
    """Write the measured tables into the package, and tables and pictures into the docs."""
    found, power_table = false_discoveries(runs, level), detections(runs)
    measured.write("false_discoveries", found)
    measured.write("power", power_table)
    look = FigureStyle()
    with style.house(look):
        for name, module, table in (
            ("calibration", picture_calibration, found),
            ("power", picture_power, power_table),
        ):
            if len(table):
                module.draw(table, look).savefig(
                    docs / "images" / f"{name}.png", metadata={"Software": None}
                )
    page = docs / "calibration.md"
    text = page.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    tables = f"{BEGIN}\n\n{_fdr_table(found, alpha)}\n\n{_power_table(power_table)}\n\n{END}"
    page.write_text(before + tables + after, encoding="utf-8")


def _fdr_table(found: pd.DataFrame, alpha: float) -> str:
    head = (
        "| world | runs | clusters per run | tests | claims (simplex) | families "
        "| with a false claim | share (95%) | binomial p | FDR | tests with p ≤ .05 |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|"
    )
    lines = [
        f"| {r.kind} | {r.runs} | {r.clusters:.0f} | {r.tests} | {r.claims} ({r.simplex}) "
        f"| {r.families} | {r.false_families} | "
        f"{r.share:.3f} ({r.share_low:.3f} to {r.share_high:.3f}) | {r.binomial_p:.2g}"
        f"{' **rejected**' if r.binomial_p < alpha else ''} | {r.fdr:.3f} | {100 * r.p05:.1f}% |"
        for r in found.itertuples()
    ]
    return "\n".join([head, *lines])


def _power_table(table: pd.DataFrame) -> str:
    head = (
        "| shape | size | noise | tokens | runs | gathered | claimed | claimed and named (95%) |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    lines = [
        f"| {r.shape} | {r.size} | {r.noise:g} | {r.tokens or 'directions alone'} | {r.runs} | "
        f"{r.gathered:.2f} | {r.claimed:.2f} | "
        f"{r.named:.2f} ({r.named_low:.2f} to {r.named_high:.2f}) |"
        for r in table.itertuples()
    ]
    return "\n".join([head, *lines])
