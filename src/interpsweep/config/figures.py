"""Every figure the workflow knows how to draw: what it is called and what it reads.

The planner turns each entry into items, so this module imports nothing but the standard library.
The drawing code of figure ``name`` lives in ``interpsweep.figures.<module>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["sweep", "site", "family"]


@dataclass(frozen=True)
class Figure:
    """One entry of the catalogue.

    ``scope`` says how many items there are and which inputs each one gets: ``sweep`` is a single
    item over everything, ``site`` one item per model and site with that site's inputs only,
    ``family`` one item per (site, architecture, sparsity, seed) with that family's inputs only.
    ``needs`` are the stages whose items are the inputs; the input role is the stage's name and
    its value a list of digests in the order of the plan. With `only_with` the figure is planned
    only where trees have that direction.
    """

    name: str
    title: str
    scope: Scope
    needs: tuple[str, ...]
    category: str
    caption: str
    only_with: str | None = None

    @property
    def drawn(self) -> str:
        """When: ``early``, as soon as there are SAEs to look at, or ``late``, with the analysis."""
        return "early" if {"mask", "train", "evaluate"}.issuperset(self.needs) else "late"

    @property
    def module(self) -> str:
        """Dotted name of the module that holds ``table`` and ``draw``."""
        return f"interpsweep.figures.{self.name}"


def _figure(
    name: str,
    title: str,
    scope: Scope,
    needs: tuple[str, ...],
    category: str,
    only_with: str | None = None,
) -> Figure:
    return Figure(name, title, scope, needs, category, f"{name}.md", only_with)


# In reading order: the report shows categories and figures in this order.
_ENTRIES = (
    _figure("concepts", "Known concepts in activation space", "sweep", ("concepts",), "Concepts"),
    _figure("interventions", "Answers when a value changes", "sweep", ("intervene",), "Concepts"),
    _figure(
        "recovery", "Planted structure against what was found", "sweep", ("claims",), "Calibration"
    ),
    _figure("massive", "Norms of activations", "sweep", ("mask",), "Activations"),
    _figure("pareto", "Reconstruction against sparsity", "sweep", ("claims",), "Dictionaries"),
    _figure("widths", "What widening brings", "sweep", ("claims",), "Dictionaries"),
    _figure("latents", "Densities and nearest directions", "site", ("evaluate",), "Dictionaries"),
    _figure("breakdown", "Where the error is", "site", ("evaluate",), "Dictionaries"),
    _figure("training", "Training curves", "site", ("train",), "Dictionaries"),
    _figure("matching", "Similarity across widths and seeds", "site", ("match",), "Matching"),
    _figure("contrasts", "Widths against seeds", "sweep", ("claims",), "Matching"),
    _figure("stitching", "From narrow to wide", "site", ("match",), "Matching"),
    _figure("edges", "Typed edges between widths", "site", ("tree",), "Trees"),
    _figure("families", "What becomes of features as width grows", "sweep", ("claims",), "Trees"),
    _figure("levels", "Nested levels against widths", "sweep", ("claims",), "Trees", "levels"),
    _figure("branches", "Families in space", "sweep", ("claims",), "Trees"),
    _figure("absorption", "Absorption and its control", "site", ("match", "tree"), "Trees"),
    _figure("probes", "Labelled concepts as probes see them", "site", ("probe",), "Trees"),
    _figure("forest", "The largest lineages", "family", ("tree", "encode"), "Trees"),
    _figure(
        "census",
        "Census of shapes, observed minus null",
        "sweep",
        ("claims", "geometry"),
        "Geometry",
    ),
    _figure("panels", "The clearest clusters", "site", ("geometry",), "Geometry"),
    _figure("loops", "Loops in activation clouds", "site", ("geometry",), "Geometry"),
    _figure("embedding", "Map of the dictionary", "site", ("geometry",), "Geometry"),
    _figure("spectrum", "Spectrum and features per dimension", "site", ("geometry",), "Geometry"),
    _figure("spectra", "Spectra layer by layer", "sweep", ("geometry",), "Geometry"),
    _figure("landscape", "Dictionaries as a whole", "sweep", ("landscape",), "Geometry"),
)

FIGURES: dict[str, Figure] = {figure.name: figure for figure in _ENTRIES}

CATEGORIES: tuple[str, ...] = tuple(dict.fromkeys(figure.category for figure in _ENTRIES))
