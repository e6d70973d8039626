"""The two dictionaries of a match, and how their latents correspond by direction alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.activations.artifact import Activations
from interpsweep.config.analysis import MatchSettings
from interpsweep.context import Context
from interpsweep.matching import operators
from interpsweep.numerics.cosine import Comparison, Floats, Ints, Neighbours, compare, unit_rows
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.codes import Codes
from interpsweep.saes.firing import Firing, Leading, Some, firing_statistics


@dataclass(frozen=True)
class Side:
    """One of the two dictionaries, reduced to what matching needs."""

    decoder: Floats  # (n, d) unit rows
    encoder: Floats  # (n, d) unit rows
    bias: Floats  # (d,)
    codes: Firing
    count: Ints  # (n,) firings
    mean: NDArray[np.float64]  # (n,) mean activation when firing


class Correspondence(NamedTuple):
    """Neighbours and partners of all latents, among latents that fire at all; -1 for none."""

    nearest_ab: Ints
    cosine_ab: Floats
    margin_ab: Floats
    nearest_ba: Ints
    cosine_ba: Floats
    margin_ba: Floats
    mutual_ab: Ints
    mutual_ba: Ints
    assigned_ab: Ints  # one to one, by decoder cosine
    assigned_ba: Ints
    assigned_encoder_ab: Ints  # one to one, by encoder cosine
    assigned_encoder_ba: Ints
    mcc: float
    pairs: tuple[Ints, Ints]  # candidates: near neighbours both ways, and above the floor


def load_side(
    sae: Path, codes: Any, level: float, ctx: Context, leading: int | None = None
) -> Side:
    """Read one dictionary, or only its `leading` latents, and the statistics of its firings above
    `level`; `codes` has as many latents.
    """
    dictionary = Dictionary.open(sae)
    n = dictionary.d_sae if leading is None else leading
    reader = Firing.above(codes, level, ctx.block_map)
    count, mean = firing_statistics(reader, ctx.block_map)
    return Side(
        unit_rows(np.asarray(dictionary.W_dec)[:n]),
        unit_rows(np.asarray(dictionary.W_enc).T[:n]),
        np.asarray(dictionary.b_dec, np.float32),
        reader,
        count,
        mean,
    )


def read_codes(path: Path, leading: int | None) -> Codes | Leading:
    """The codes of an SAE, or those of its `leading` latents."""
    codes = Codes.open(path)
    return codes if leading is None else Leading(codes, leading)


def common(path: Path, masks: list[Path], both: Activations) -> Codes | Some:
    """The codes of an SAE on the rows that the masks of `both` sites leave; `masks` are its own."""
    codes = Codes.open(path)
    rows = Activations(both.path, masks).as_captured(*codes.rows)
    place = np.flatnonzero(~np.isin(rows, both.left_out.row))
    if len(place) == len(rows):
        return codes
    first = int(rows[place[0]] - np.searchsorted(both.left_out.row, rows[place[0]]))
    return Some(codes, codes.d_sae, place, (first, first + len(place)))


def correspond(a: Side, b: Side, settings: MatchSettings) -> Correspondence:
    """Nearest, mutual and assigned partners; latents that never fire take no part."""
    live_a, live_b = np.flatnonzero(a.count > 0), np.flatnonzero(b.count > 0)
    unit_a, unit_b = a.decoder[live_a], b.decoder[live_b]
    k = max(settings.top_k, 2)
    near = compare(unit_a, unit_b, k, settings.cosine_floor, settings.block)
    nearest_ab, cosine_ab, margin_ab = _first(near.ab, len(a.count), live_a, live_b)
    nearest_ba, cosine_ba, margin_ba = _first(near.ba, len(b.count), live_b, live_a)
    # a latent that never fires is nobody's nearest one
    mutual_ab = operators.mutual_neighbours(nearest_ab, nearest_ba)
    mutual_ba = operators.mutual_neighbours(nearest_ba, nearest_ab)
    limit = settings.assignment_limit
    decoders = operators.assign(unit_a, unit_b, limit, settings.block, near)
    encoders = operators.assign(a.encoder[live_a], b.encoder[live_b], limit, settings.block)
    assigned = _partners(decoders, live_a, live_b, a, b)
    assigned_encoder = _partners(encoders, live_a, live_b, a, b)
    return Correspondence(
        nearest_ab, cosine_ab, margin_ab, nearest_ba, cosine_ba, margin_ba, mutual_ab, mutual_ba,
        *assigned, *assigned_encoder, operators.mcc(decoders, len(live_a), len(live_b)),
        _near_pairs(near, settings.top_k, live_a, live_b),
    )  # fmt: skip


def _first(
    found: Neighbours, size: int, live: Ints, live_other: Ints
) -> tuple[Ints, Floats, Floats]:
    """Nearest latent, its cosine, and how far behind the second is, for all `size` latents."""
    index = np.full(size, -1)
    cosine, margin = np.zeros(size, np.float32), np.zeros(size, np.float32)
    if not len(live_other):
        return index, cosine, margin
    index[live], cosine[live] = live_other[found.index[:, 0]], found.cosine[:, 0]
    margin[live] = found.cosine[:, 0] - found.cosine[:, min(1, found.cosine.shape[1] - 1)]
    return index, cosine, margin


def _partners(
    pairs: operators.Assignment, live_a: Ints, live_b: Ints, a: Side, b: Side
) -> tuple[Ints, Ints]:
    of_a, of_b = np.full(len(a.count), -1), np.full(len(b.count), -1)
    of_a[live_a[pairs.a]] = live_b[pairs.b]
    of_b[live_b[pairs.b]] = live_a[pairs.a]
    return of_a, of_b


def _near_pairs(near: Comparison, top_k: int, live_a: Ints, live_b: Ints) -> tuple[Ints, Ints]:
    forward, backward = near.ab.index[:, :top_k], near.ba.index[:, :top_k]
    pair_a = [np.repeat(live_a, forward.shape[1]), live_a[backward.ravel()], live_a[near.above.a]]
    pair_b = [live_b[forward.ravel()], np.repeat(live_b, backward.shape[1]), live_b[near.above.b]]
    return np.concatenate(pair_a), np.concatenate(pair_b)
