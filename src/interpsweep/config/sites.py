"""Sites: TransformerLens hook names, their short range form and their layer; what stands for a
model without having any. No torch.

A site is a place in a model where activations are read, such as ``blocks.8.hook_resid_post`` or
``hook_embed``. In a config one entry may stand for several layers: ``blocks.{0..5}.hook_mlp_out``
counts up, ``blocks.{0,4,8}.hook_resid_post`` lists them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

MODELLESS = ("world", "activations")  # sources of activations without a model
_SITE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)(?:\.\.(\d+))?")
_LAYER = re.compile(r"(?:^|\.)blocks\.(\d+)(?:\.|$)")


def expand_sites(entries: Iterable[str]) -> tuple[str, ...]:
    """Every site that `entries` stand for, in their order.

    ``{a..b}`` counts from a to b inclusive, ``{a..b..s}`` in steps of s, ``{a,b,c}`` lists values.
    Raises ValueError for a name that cannot be a hook and for a site named twice.
    """
    sites: list[str] = []
    for entry in entries:
        for site in _expand(entry):
            if not _SITE.fullmatch(site):
                raise ValueError(f"{site!r} cannot be the name of a hook")
            if site in sites:
                raise ValueError(f"site {site!r} is named twice")
            sites.append(site)
    return tuple(sites)


def site_layer(site: str) -> int | None:
    """The block that a site belongs to; None for embeddings and what follows the last block."""
    found = _LAYER.search(site)
    return int(found[1]) if found else None


def site_kind(site: str) -> str:
    """A site without its layer: ``blocks.8.hook_mlp_out`` -> ``blocks.hook_mlp_out``."""
    return re.sub(r"(^|\.)blocks\.\d+(?=\.|$)", r"\1blocks", site)


def next_site(site: str, sites: Iterable[str]) -> str | None:
    """The one of `sites` in the nearest layer after that of `site`, of its kind if there is one.

    None if no layer follows, as after a site behind the blocks. Embeddings are before them.
    """
    layer = depth(site)
    after = sorted(other for other in sites if layer < depth(other) < math.inf)
    alike = [other for other in after if site_kind(other) == site_kind(site)]
    return min(alike or after, key=depth, default=None)


def depth(site: str) -> float:
    """The layer of a site; -1 at the embeddings, infinite behind the last block."""
    layer = site_layer(site)
    if layer is not None:
        return layer
    return -1 if "embed" in site and not site.startswith("unembed") else math.inf


def _expand(entry: str) -> list[str]:
    braces = _BRACES.search(entry)
    if braces is None:
        return [entry]
    before, after = entry[: braces.start()], entry[braces.end() :]
    return [site for value in _values(braces[1], entry) for site in _expand(before + value + after)]


def _values(inside: str, entry: str) -> list[str]:
    counted = _RANGE.fullmatch(inside)
    if counted is None:
        values = [value.strip() for value in inside.split(",")]
        if all(values) and ".." not in inside:
            return values
        raise ValueError(f"{entry!r}: write a range as {{0..5}}, {{0..10..2}} or {{0,3,5}}")
    first, last, step = int(counted[1]), int(counted[2]), int(counted[3] or 1)
    if last < first or step < 1:
        raise ValueError(f"{entry!r}: the range {{{inside}}} is empty")
    return [str(value) for value in range(first, last + 1, step)]
