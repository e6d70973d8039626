"""The atlas and the bundle: self-contained, escaped, honest, and the same bytes every time."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Collection
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markupsafe import Markup
from synthetic_sweep import SyntheticSweep

from interpsweep.config.figures import FIGURES
from interpsweep.config.pictures import FigureStyle
from interpsweep.errors import UserError
from interpsweep.figures import draw
from interpsweep.report import bundle, measured, report
from interpsweep.report.findings import findings
from interpsweep.report.provenance import ancestry
from interpsweep.report.text import listing, number, paragraphs, share
from interpsweep.tables import write_json, write_parquet

HOSTILE = '<script>alert(1)</script> **bold** & "quotes"'


def with_figures(root: Path, names: Collection[str] = tuple(FIGURES)) -> SyntheticSweep:
    """A synthetic sweep with figures drawn as finished items."""
    sweep = SyntheticSweep(root, widths=(512, 2048)).build()
    for name in names:
        figure = FIGURES[name]
        places: list[dict[str, Any]] = [{}]
        if figure.scope == "site":
            places = [sweep.place(site) for site in sweep.sites]
        if figure.scope == "family":
            recipe = {"architecture": "batchtopk", "sparsity": 32, "seed": 0}
            places = [sweep.place(site, **recipe) for site in sweep.sites]
        for at in places:
            inputs = sweep.of(*figure.needs, **at)
            settings = {"figure": name, "style": FigureStyle(dpi=72).identity()}
            out = sweep.item("figures", figure=name, **at)
            spec = {"settings": {**settings, "index": sweep.index(inputs)}, "inputs": inputs}
            metrics = draw.run(spec, sweep.paths(inputs), out, None)
            sweep.finish(out, settings, inputs, metrics)
    return sweep


def make_report(sweep: SyntheticSweep, out: Path) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    chosen = sweep.of("figures", "claims")
    settings = {"title": f"Calendar {HOSTILE}", "introduction": HOSTILE, "sweep": "calendar"}
    inputs = {"figures": sorted(chosen["figures"]), "claims": chosen["claims"][0]}
    paths = {
        "figures": [sweep.items[d][0] for d in inputs["figures"]],
        "claims": sweep.paths(chosen)["claims"][0],
    }
    spec = {"settings": {**settings, "index": sweep.index(chosen)}, "inputs": inputs}
    return report.run(spec, paths, out, None)


def make_bundle(sweep: SyntheticSweep, page: Path, out: Path) -> dict[str, Any]:
    out.mkdir(parents=True)
    chosen = sweep.of("figures", "claims")
    inputs = {
        "figures": sorted(chosen["figures"]),
        "claims": chosen["claims"][0],
        "report": sweep.of("report")["report"][0],
    }
    paths = {
        "figures": [sweep.items[d][0] for d in inputs["figures"]],
        "claims": sweep.paths(chosen)["claims"][0],
        "report": page,
    }
    settings = {"sweep": "calendar", "config": {"b": 1, "a": [2]}, "lock": {"files": {}}}
    spec = {"settings": {**settings, "index": sweep.index(chosen)}, "inputs": inputs}
    return bundle.run(spec, paths, out, None)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSweep:
    return with_figures(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def page(sweep: SyntheticSweep) -> Path:
    out = sweep.item("report")
    make_report(sweep, out)
    return out / "index.html"


class Links(HTMLParser):
    """Collects tags, ids and everything a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.targets: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key in ("src", "href"):
                self.targets.append(value or "")
            if key == "id":
                self.ids.append(value or "")


def test_the_page_needs_nothing_from_outside(page: Path) -> None:
    links = Links()
    links.feed(page.read_text(encoding="utf-8"))
    assert "script" not in links.tags and "iframe" not in links.tags and "link" not in links.tags
    assert all(t.startswith(("data:", "#")) for t in links.targets)
    assert {t[1:] for t in links.targets if t.startswith("#")} <= set(links.ids)
    assert len(links.ids) == len(set(links.ids))
    assert links.tags.count("img") == sum(1 for t in links.targets if t.startswith("data:image"))


def test_the_page_escapes_text_from_models_and_configs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<script>" not in text and "<b>512" not in text
    assert "&lt;b&gt;512-&gt;2048&lt;/b&gt;" in text


def test_the_page_shows_findings_with_nulls_and_misses(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.search(r"effect 0\.91 against 0\.4 under the null .*q\u00a0=\u00a00\.012", text)
    assert "None of" in text and "false claim" in text and "Provenance" in text
    assert "No SAE has been evaluated" not in text


@pytest.mark.parametrize(
    ("left_out", "tone", "words"),
    [(0.6, "fact", "are left out"), (0.01, "miss", "are NOT left out")],
)
def test_massive_activations_are_said(left_out: float, tone: str, words: str) -> None:
    sites = [{"site": f"blocks.{i}.hook_resid_post", "massive_share": 4e-4,
              "massive_second_moment": moment, "left_out_second_moment": left_out}
             for i, moment in enumerate((0.59, 0.001))]  # fmt: skip
    tables = {name: pd.DataFrame() for name in report.TABLES} | {"masks": pd.DataFrame(sites)}
    (said,) = findings(tables, 10)
    assert (said.tone, said.head) == (tone, "Massive activations")
    assert "at blocks.0.hook_resid_post 0.04% of the rows carry 59% of the second" in said.text
    assert words in said.text and "blocks.1" not in said.text


def test_the_page_shows_analogies_beside_their_baselines(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    table = text.rpartition("Relations of known concepts")[2].partition("</table>")[0]
    for shown in ("3CosAdd", "nearest to c", "species", "0.88", "0.14"):
        assert shown in table


def test_report_and_bundle_are_deterministic(
    sweep: SyntheticSweep, page: Path, tmp_path: Path
) -> None:
    make_report(sweep, tmp_path / "reports" / "again-1")
    assert (tmp_path / "reports" / "again-1" / "index.html").read_bytes() == page.read_bytes()
    first, second = tmp_path / "one", tmp_path / "two"
    make_bundle(sweep, page.parent, first)
    make_bundle(sweep, page.parent, second)
    assert (first / "bundle.zip").read_bytes() == (second / "bundle.zip").read_bytes()


def test_the_bundle_holds_figures_tables_config_and_manifests(
    sweep: SyntheticSweep, page: Path, tmp_path: Path
) -> None:
    metrics = make_bundle(sweep, page.parent, tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "b" / "bundle.zip") as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        assert all(i.date_time == bundle.EPOCH for i in archive.infolist())
        assert archive.read("index.html") == page.read_bytes()
    assert names == sorted(names) and len(names) == metrics["files"]
    figures = {n.split("/")[1] for n in names if n.startswith("figures/")}
    assert len(figures) == len(sweep.of("figures")["figures"])
    trained = len(sweep.of("train")["train"])
    assert sum(n.startswith("manifests/train/") for n in names) == trained
    assert {"README.txt", "config.json", "lock.json", "tables/claims.parquet"} <= set(names)
    assert not any(n.endswith(("manifest.json", "run.json")) for n in names)


def test_a_bundle_without_the_origin_of_a_figure_is_refused(tmp_path: Path) -> None:
    sweep = with_figures(tmp_path / "store", ["latents"])
    gone = sweep.items[sweep.of("evaluate")["evaluate"][0]][0]
    shutil.rmtree(gone)
    with pytest.raises(UserError, match=f"item {gone.name[5:]}, is no longer in the store"):
        ancestry(path for path, at in sweep.items.values() if at["stage"] == "figures")


def test_findings_of_an_empty_sweep_are_none() -> None:
    empty = {name: pd.DataFrame() for name in report.TABLES}
    assert findings(empty, 10) == []


def test_a_kind_without_any_claim_is_one_finding() -> None:
    claims = pd.DataFrame(
        {
            "kind": ["family"] * 3 + ["tree"] * 2,
            "test": ["circle", "circle", "line", "edges_split", "edges_merge"],
            "subject": "a",
            "null": "chance",
            "verdict": ["not claimed"] * 4 + ["claimed"],
            **{name: [0.2, 0.3, 0.4, 0.5, 0.01] for name in ("effect", "null_effect", "p", "q")},
            **dict.fromkeys(("seeds", "replicated_seeds"), 1),
        }
    )
    tables = {name: pd.DataFrame() for name in report.TABLES} | {"claims": claims}
    said = {finding.head: finding for finding in findings(tables, 10)}
    assert list(said) == ["Tree: edges merge", "Tree: edges split", "Family"]
    assert said["Family"].text == "None of 3 tests (circle and line) holds (smallest q 0.2)."
    assert [finding.tone for finding in said.values()] == ["good", "miss", "miss"]


def test_the_atlas_says_how_often_the_census_errs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    assert measured.told() == ""
    kinds = pd.DataFrame({"runs": [200, 800], "families": [300, 700], "false_families": [9, 16]})
    measured.write("false_discoveries", kinds)
    cases = [("circle", 12, 0.1, 0, 0.9), ("circle", 12, 0.5, 0, 0.2), ("line", 12, 0.1, 0, 0.75),
             ("line", 12, 0.1, 400, 0.1), ("circle", 7, 0.1, 0, 0.1)]  # fmt: skip
    columns = ["shape", "size", "noise", "tokens", "named"]
    measured.write("power", pd.DataFrame(cases, columns=columns))
    told = measured.told()
    assert "1,000 dictionaries" in told and "in 25 of 1,000 families of tests (2.5%" in told
    assert "circle 90%, line 75%." in told


def test_an_empty_sweep_still_has_a_page(tmp_path: Path) -> None:
    sweep = SyntheticSweep(tmp_path, sites=())
    path = sweep.item("claims")
    for name in report.TABLES:
        write_parquet(pd.DataFrame(), path / f"{name}.parquet")
    write_json({}, path / "summary.json")
    sweep.finish(path, {}, {}, {})
    digest = next(iter(sweep.items))
    spec = {
        "settings": {"sweep": "empty", "index": {}},
        "inputs": {"figures": [], "claims": digest},
    }
    report.run(spec, {"figures": [], "claims": path}, tmp_path, None)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "no claims yet" in page and measured.told() in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00042, "4e-4"),
        (3.0, "3"),
        (float("nan"), "–"),
        (12345.0, "12,345"),
        (0.1234, "0.123"),
        ("a", "a"),
        (True, "yes"),
    ],
)
def test_numbers_are_short(value: object, text: str) -> None:
    assert number(value) == text


def test_small_texts() -> None:
    assert share(0.004) == "0.4%" and share(0.5) == "50%"
    assert listing([]) == "none" and listing([1]) == "1" and listing([1, 2, 3]) == "1, 2 and 3"
    assert listing(list("abcdefghij"), 3) == "a, b and 8 more"
    assert paragraphs("a **b** <c>\n\nd") == Markup(
        "<p>a <strong>b</strong> &lt;c&gt;</p>\n<p>d</p>\n"
    )
