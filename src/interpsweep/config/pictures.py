"""Settings of the figures and of the report."""

from __future__ import annotations

from pydantic import field_validator

from interpsweep.config.base import Section, field
from interpsweep.config.figures import FIGURES
from interpsweep.errors import nearest


class FigureStyle(Section):
    """How figures look. Everything here is part of a figure's identity."""

    width: float = field(7.0, "Width of a figure", unit="inches", ge=3.0, le=20.0)
    font_size: float = field(9.0, "Size of axis labels and text", unit="points", ge=5.0, le=20.0)
    font: str = field(
        "DejaVu Sans",
        "Font family. The default ships with matplotlib, so every machine draws the same bytes",
    )
    dpi: int = field(200, "Resolution of the PNG files", unit="dots per inch", ge=72, le=600)
    max_panels: int = field(
        16,
        "Most small panels in one figure; the data table next to it always holds all of them",
        ge=1,
        le=60,
    )


class FiguresSection(Section):
    """Which figures to draw, and how."""

    draw: tuple[str, ...] = field(
        tuple(FIGURES), "Names of the figures to draw, in any order; default: all of them"
    )
    style: FigureStyle = field(FigureStyle, "House style of all figures")

    @field_validator("draw")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name in ("calibration", "power", "operating"):
                raise ValueError(
                    f"{name!r} is no figure of a sweep any more: the documentation has it, and the "
                    "atlas says its numbers"
                )
            if name not in FIGURES:
                raise ValueError(f"no figure is called {name!r}{nearest(name, FIGURES)}")
        if len(set(names)) != len(names):
            raise ValueError("a figure is named twice")
        return names


class ReportSection(Section):
    """The browsable atlas and the figure bundle."""

    title: str = field(
        "", "Title of the atlas; the name of the sweep when empty", identity=True, max_length=200
    )
    introduction: str = field(
        "", "Plain text under the title: what this sweep is for", max_length=5000
    )
    max_findings: int = field(
        48, "Most key findings listed at the top; the tables below hold all", ge=0, le=100
    )


class Gathered(Section):
    """What the spec says of the inputs of an item that gathers them."""

    index: dict[str, dict[str, object]] = field(
        dict, "Digest of every input -> its coordinates in the sweep"
    )
    missing: tuple[dict[str, object], ...] = field(
        (), "What could not be made and is gone without: item, stage, coordinates, reason"
    )


class DrawSettings(Gathered):
    """Settings of one item of stage ``figures``."""

    figure: str = field(description="Name of the figure in the registry")
    style: FigureStyle = field(FigureStyle, "House style")


class ReportSettings(ReportSection, Gathered):
    """Settings of the one item of stage ``report``."""

    sweep: str = field(description="Name of the sweep")


class BundleSettings(Gathered):
    """Settings of the one item of stage ``bundle``."""

    sweep: str = field(description="Name of the sweep")
    config: dict[str, object] = field(description="The configuration that determines the results")
    lock: dict[str, object] = field(dict, "Digests of everything that comes from outside")
