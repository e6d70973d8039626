"""Every registered figure is drawn from synthetic tables; twice, and in another process."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from synthetic_sweep import SyntheticSweep

from interpsweep.config.figures import FIGURES
from interpsweep.config.pictures import FigureStyle
from interpsweep.errors import UserError
from interpsweep.figures import draw, panels, style
from interpsweep.tables import write_parquet

FILES = ["caption.md", "data.csv", "data.parquet", "figure.png", "figure.svg"]
STYLE = FigureStyle(dpi=72).identity()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSweep:
    return SyntheticSweep(tmp_path_factory.mktemp("sweep")).build()


def draw_one(
    sweep: SyntheticSweep, name: str, out: Path, style: dict | None = None
) -> dict[str, Any]:
    figure = FIGURES[name]
    at = {
        "sweep": {},
        "site": {"site": sweep.sites[0]},
        "family": {"site": sweep.sites[0], "seed": 0},
    }[figure.scope]
    inputs = sweep.of(*figure.needs, **(at if figure.scope != "sweep" else {}))
    settings = {"figure": name, "style": style or STYLE, "index": sweep.index(inputs)}
    spec = {"stage": "figures", "version": 1, "settings": settings, "inputs": inputs}
    out.mkdir(parents=True, exist_ok=True)
    return draw.run(spec, sweep.paths(inputs), out, None)


def fingerprint(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_from_its_table(
    sweep: SyntheticSweep, name: str, tmp_path: Path
) -> None:
    metrics = draw_one(sweep, name, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES
    assert metrics["rows"] > 0
    table = pd.read_parquet(tmp_path / "data.parquet")
    assert len(table) == metrics["rows"] == len(pd.read_csv(tmp_path / "data.csv"))
    svg = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert "dc:date" not in svg and "<script" not in svg
    caption = (tmp_path / "caption.md").read_text(encoding="utf-8")
    assert caption.startswith(f"**{FIGURES[name].title}.**") and "{{" not in caption


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_without_data_says_what_is_missing(name: str, tmp_path: Path) -> None:
    empty = SyntheticSweep(tmp_path / "none", sites=())
    out = tmp_path / "out"
    metrics = draw_one_empty(empty, name, out)
    assert metrics["rows"] == 0
    assert sorted(p.name for p in out.iterdir()) == FILES
    missing = importlib.import_module(FIGURES[name].module).MISSING
    assert missing in (out / "figure.svg").read_text(encoding="utf-8")


def draw_one_empty(sweep: SyntheticSweep, name: str, out: Path) -> dict[str, Any]:
    inputs: dict[str, list[str]] = {stage: [] for stage in FIGURES[name].needs}
    settings = {"figure": name, "style": STYLE, "index": {}}
    out.mkdir()
    return draw.run({"settings": settings, "inputs": inputs}, inputs, out, None)


# drawn in every way there is: lines, panels, a forest, an image, many texts
SOME = ("pareto", "panels", "forest", "concepts")


@pytest.mark.parametrize("names", [SOME, pytest.param(tuple(FIGURES), marks=pytest.mark.slow)])
def test_another_process_draws_the_same_bytes(
    names: tuple[str, ...], sweep: SyntheticSweep, tmp_path: Path
) -> None:
    here = {name: draw_and_hash(sweep, name, tmp_path / "here" / name) for name in names}
    program = (
        "import sys; from pathlib import Path; import json\n"
        "from synthetic_sweep import SyntheticSweep\n"
        "import test_figures_drawing as t\n"
        "root, out = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "sweep = SyntheticSweep(root).build()\n"
        "print(json.dumps({n: t.draw_and_hash(sweep, n, out / n) for n in sys.argv[3:]}))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "again"), str(tmp_path / "there"), *names],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(found.stdout) == here


def draw_and_hash(sweep: SyntheticSweep, name: str, out: Path) -> dict[str, str]:
    draw_one(sweep, name, out)
    return fingerprint(out)


@pytest.mark.parametrize("name", ["families", "census", "widths", "pareto", "recovery", "concepts"])
def test_sweep_figures_hold_six_widths_and_many_layers(name: str, tmp_path: Path) -> None:
    many = SyntheticSweep(
        tmp_path / "many",
        sites=tuple(f"blocks.{i}.hook_resid_post" for i in range(0, 26, 2)),
        widths=(512, 1024, 2048),
        seeds=(0,),
    ).build()
    assert draw_one(many, name, tmp_path / "out")["rows"] > 0


def test_one_width_and_one_seed_are_enough_for_a_figure(tmp_path: Path) -> None:
    small = SyntheticSweep(
        tmp_path / "small", sites=("blocks.0.hook_resid_pre",), widths=(512,), seeds=(0,)
    )
    small.build()
    for name in (
        "pareto",
        "widths",
        "latents",
        "breakdown",
        "training",
        "spectrum",
        "embedding",
        "panels",
        "census",
        "recovery",
    ):
        assert draw_one(small, name, tmp_path / name)["rows"] > 0
    assert draw_one(small, "matching", tmp_path / "matching")["rows"] == 0


def test_panels_show_what_saes_of_two_widths_find_once(tmp_path: Path) -> None:
    points = [
        {"architecture": "topk", "sparsity": 4.0, "d_sae": d_sae, "seed": 0, "panel": panel,
         "cluster": panel, "test": "circle", "p_selected": 0.001 * panel, "statistic": 0.7,
         "null_mean": 0.4, "null_sd": 0.1, "kind": kind, "x": float(i), "y": float(i % 2),
         "order": i, "feature": i, "activation": 1.0, "row": i, "token": 100 * subject + i,
         "text": f"word{subject}", "concept": "", "value": 0, "label": ""}
        for panel, d_sae, subject in ((1, 64, 1), (2, 128, 1), (3, 64, 2), (4, 64, 3), (5, 64, 4))
        for kind in ("directions", "cloud")
        for i in range(5)
    ]  # fmt: skip
    figure = panels.draw(pd.DataFrame(points), FigureStyle())
    titles = [axis.get_title() for axis in figure.axes if axis.get_title().startswith("cluster")]
    assert [title.split()[1] for title in titles] == ["1", "3", "4", "5"]


def test_a_trade_off_is_drawn_over_sparsities_and_architectures(tmp_path: Path) -> None:
    many = SyntheticSweep(tmp_path / "many").build()
    (claims,) = many.paths(many.of("claims"))["claims"]
    saes = pd.read_parquet(claims / "saes.parquet")
    others = [
        saes.assign(architecture=architecture, sparsity=sparsity, l0=saes["l0"] * sparsity / 32)
        for architecture in ("relu", "topk")
        for sparsity in (16.0, 64.0, 256.0)
    ]
    write_parquet(pd.concat(others, ignore_index=True), claims / "saes.parquet")
    draw_one(many, "pareto", tmp_path / "out")
    svg = (tmp_path / "out" / "figure.svg").read_text(encoding="utf-8")
    assert all(f">{word}<" in svg for word in ("relu", "topk", "512 latents", "2k latents"))
    assert "Lines join the sparsities" in (tmp_path / "out" / "caption.md").read_text()
    assert draw_one(many, "widths", tmp_path / "widths")["rows"] == len(saes) * 6


def test_an_encoder_model_has_no_recovered_loss_to_draw(tmp_path: Path) -> None:
    encoder = SyntheticSweep(tmp_path / "encoder").build()
    (claims,) = encoder.paths(encoder.of("claims"))["claims"]
    saes = pd.read_parquet(claims / "saes.parquet").drop(columns="ce_recovered")
    write_parquet(saes, claims / "saes.parquet")
    draw_one(encoder, "pareto", tmp_path / "out")
    caption = (tmp_path / "out" / "caption.md").read_text()
    assert "The sweep has one sparsity" in caption and "Recovered loss is not shown" in caption
    svg = (tmp_path / "out" / "figure.svg").read_text(encoding="utf-8")
    assert "explained" in svg and "cross-entropy" not in svg


def test_unknown_figure_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pareto"):
        draw.run({"settings": {"figure": "paretto"}, "inputs": {}}, {}, tmp_path, None)


def test_the_longest_loop_of_every_cloud_is_marked(sweep: SyntheticSweep, tmp_path: Path) -> None:
    draw_one(sweep, "loops", tmp_path)
    table = pd.read_parquet(tmp_path / "data.parquet")
    of = ["architecture", "sparsity", "d_sae", "seed", "cluster"]
    ratio = table["death"] / table["birth"]
    assert (table.groupby(of)["longest"].sum() == 1).all()
    assert (ratio[table["longest"]].to_numpy() == ratio.groupby([table[c] for c in of]).max()).all()
    first = table[table["cluster"] == 0]
    assert ratio[first.index[first["longest"]]].to_numpy() == pytest.approx(4)


def test_tests_without_power_are_not_expected_to_pass(
    sweep: SyntheticSweep, tmp_path: Path
) -> None:
    """Of four clusters one has no p of a simplex; 1.6 passes were expected of 30 tests."""
    draw_one(sweep, "census", tmp_path)
    table = pd.read_parquet(tmp_path / "data.parquet")
    simplex, circle = (table[table["test"] == name] for name in ("simplex", "circle"))
    assert (simplex["clusters"] == 3).all() and (circle["clusters"] == 4).all()
    assert simplex["expected"].to_numpy() == pytest.approx(1.6 * 3 / 30)
    assert (table["excess"] == table["passing"] - table["expected"]).all()


def test_parents_in_two_trees_add_up(sweep: SyntheticSweep, tmp_path: Path) -> None:
    """Every latent with a parent is in one part of its bar; the claims' counts are kept."""
    draw_one(sweep, "levels", tmp_path)
    table = pd.read_parquet(tmp_path / "data.parquet")
    assert len(table) == len(sweep.sites) * (len(sweep.widths) - 1) * len(sweep.seeds)
    either = table["over_widths"] + table["among_levels"] - table["both"]
    parts = table[["same", "other", "only_widths", "only_levels"]]
    assert parts.sum(axis=1).to_numpy() == pytest.approx(either / table["latents"])
    both = (table["same"] + table["other"]) * table["latents"]
    assert both.to_numpy() == pytest.approx(table["both"])
    assert (table["same"] * table["latents"] / table["both"]).to_numpy() == pytest.approx(
        table["agreement"]
    )


def test_sites_are_drawn_from_the_embeddings_on() -> None:
    names = ["ln_final.hook_normalized", "blocks.10.hook_resid_post", "blocks.2.hook_resid_post"]
    table = pd.DataFrame({"model": "m", "site": [*names, "blocks.2.hook_mlp_out", "hook_embed"]})
    assert [site for _, site in style.order_sites(table)] == [
        "hook_embed",
        "blocks.2.hook_mlp_out",
        "blocks.2.hook_resid_post",
        "blocks.10.hook_resid_post",
        "ln_final.hook_normalized",
    ]
