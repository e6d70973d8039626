"""Stage ``report``: the atlas, one self-contained HTML file.

It reads the claims (all tables of the sweep), the figures, and the manifests of everything
behind them. Nothing is loaded from other hosts and there is no script; text from models and
corpora is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from interpsweep.config.figures import CATEGORIES
from interpsweep.config.pictures import ReportSettings
from interpsweep.report import measured
from interpsweep.report.findings import findings
from interpsweep.report.gallery import Picture, pictures
from interpsweep.report.listing import listings
from interpsweep.report.provenance import ancestry
from interpsweep.report.text import listing, number, paragraphs, plural
from interpsweep.sources import Source, gather
from interpsweep.stages import STAGES
from interpsweep.stages.record import sae_label
from interpsweep.tables import read_parquet

TEMPLATES = Path(__file__).parent / "templates"
TABLES = (
    *("claims", "recovery", "concept_relations", "edge_scores"),
    *("masks", "saes", "matching", "families", "complexes"),
)


def run(spec: dict[str, Any], inputs: dict[str, Any], out: Path, ctx: Any) -> dict[str, Any]:
    """Write index.html; return how many findings and figures it holds."""
    settings = ReportSettings(**spec["settings"])
    sources = gather(spec, inputs)
    (claims,) = sources["claims"]
    tables = {name: claims.table(name) for name in TABLES}
    shown = pictures(sources["figures"])
    manifests = ancestry([s.path for items in sources.values() for s in items])
    said = findings(tables, settings.max_findings)
    page = (
        _environment()
        .get_template("atlas.html.j2")
        .render(
            title=settings.title or settings.sweep,
            sweep=settings.sweep,
            introduction=paragraphs(settings.introduction),
            axes=swept(tables["saes"], manifests),
            findings=said,
            instrument=measured.told(),
            categories=grouped(shown),
            listings=listings(tables, _census(sources["figures"])),
            stages=behind(manifests),
            versions=versions(manifests),
            claims_digest=claims.digest,
            missing=missing(claims.summary("summary").get("missing", ()), settings.missing),
            plural=plural,
        )
    )
    (out / "index.html").write_text(page, encoding="utf-8", newline="\n")
    return {"figures": len(shown), "findings": len(said)}


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _census(figures: list[Source]) -> pd.DataFrame:
    """The census table, from the figure that gathered it; empty when it was not drawn."""
    drawn = [s for s in figures if s.at.get("figure") == "census"]
    return read_parquet(drawn[0].path / "data.parquet") if drawn else pd.DataFrame()


def swept(saes: pd.DataFrame, manifests: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """The axes of the sweep as (name, values), and how many tokens each corpus holds."""
    axes = []
    for column, name in (
        ("model", "models"),
        ("site", "sites"),
        ("architecture", "architectures"),
        ("d_sae", "widths"),
        ("sparsity", "sparsities"),
        ("seed", "seeds"),
    ):
        if column in saes.columns and len(saes):
            values = sorted(saes[column].unique(), key=lambda v: (isinstance(v, str), v))
            if column == "site":
                pairs = saes[["layer", "site"]].drop_duplicates().sort_values(["layer", "site"])
                values = pairs["site"].drop_duplicates().tolist()
            axes.append((name, listing([number(v) for v in values])))
    axes.append(("dictionaries", number(len(saes))))
    tokens = [
        m["metrics"]["tokens"]
        for m in manifests.values()
        if m["stage"] == "corpus" and isinstance(m["metrics"].get("tokens"), int)
    ]
    if tokens:
        axes.append(("tokens", listing([number(n) for n in tokens])))
    return axes


def missing(*told: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """What could not be made, in the order of the pipeline: each reason with the items that are
    missing for it.
    """
    order, every = list(STAGES), (one for some in told for one in some)
    lacks = sorted(every, key=lambda one: order.index(one["stage"]))
    reasons: dict[str, list[str]] = {}
    for one in lacks:
        reasons.setdefault(one["reason"], []).append(_lacking(one["stage"], one["at"]))
    return list(reasons.items())


def _lacking(stage: str, at: Mapping[str, Any]) -> str:
    """A missing item in words: its stage, place and coordinates."""
    keys = ("figure", "direction", "model", "site", "architecture", "d_sae", "sparsity", "seed")
    own = [f"{key} {at[key]}" for key in keys if at.get(key) not in (None, "")]
    ends = [sae_label(at[side]) for side in ("a", "b") if isinstance(at.get(side), Mapping)]
    return f"{stage}: " + ", ".join([*own, " with ".join(ends)] if ends else own)


def grouped(shown: list[Picture]) -> list[tuple[str, list[tuple[str, list[Picture]]]]]:
    """Figures by category and then by title, in reading order; empty categories are left out."""
    groups = []
    for category in CATEGORIES:
        of = [p for p in shown if p.figure.category == category]
        titles = dict.fromkeys(p.figure.title for p in of)
        if of:
            groups.append((category, [(t, [p for p in of if p.figure.title == t]) for t in titles]))
    return groups


def behind(manifests: dict[str, dict[str, Any]]) -> list[tuple[str, int, list[tuple[str, str]]]]:
    """Per stage, in pipeline order: its version and its items as (digest, what it is)."""
    stages = []
    for name, stage in STAGES.items():
        items = [(d, _what(m)) for d, m in manifests.items() if m["stage"] == name]
        if items:
            stages.append(
                (name, manifests[items[0][0]]["spec"].get("version", stage.version), items)
            )
    return stages


def _what(manifest: dict[str, Any]) -> str:
    settings = manifest["spec"].get("settings", {})
    keys = ("figure", "direction", "site", "architecture", "d_sae", "sparsity", "seed")
    return ", ".join(f"{k} {settings[k]}" for k in keys if settings.get(k) not in (None, ""))


def versions(manifests: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Package versions that made the items; several where they differ."""
    found: dict[str, set[str]] = {}
    for manifest in manifests.values():
        for package, version in manifest.get("versions", {}).items():
            found.setdefault(package, set()).add(version)
    return [(package, listing(sorted(found[package]))) for package in sorted(found)]
