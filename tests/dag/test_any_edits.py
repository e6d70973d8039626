"""Random edits one after the other: what is planned is what the oracle says, each time."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import replace
from typing import Any

from edits import At
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import NUMBERS, SITES, Named, Oracle, State, config

from interpsweep.config.sweep import Sweep
from interpsweep.plan import build_plan

_SAE = ("model", "site", "architecture", "sparsity", "d_sae", "seed")
_OTHERS = ("stage", "layer", "b_site", "b_layer")  # follow from the rest


def some_of(values: tuple, least: int = 1) -> st.SearchStrategy:
    """A choice from an axis, in its order."""
    return st.sets(st.sampled_from(values), min_size=least).map(
        lambda chosen: tuple(value for value in values if value in chosen)
    )


FIELDS: dict[str, st.SearchStrategy] = {
    "models": st.sampled_from([{"a": 0}, {"a": 2}, {"b": 1}, {"a": 0, "b": 1}, {"a": 1, "b": 0}]),
    "sites": some_of(SITES),
    "longer": some_of(SITES, least=0),
    "corpus_seed": st.integers(0, 1),
    "dtype": st.sampled_from(["float16", "float32"]),
    "architectures": some_of(("topk", "relu")),
    "widths": some_of((32, 48, 64)),
    "sparsities": some_of((4, 8)),
    "seeds": some_of((0, 1, 2)),
    "learning_rate": st.sampled_from([1e-3, 2e-3]),
    "directions": some_of(("width", "seed", "layer")),
    "skip_levels": st.integers(0, 1),
    "landscapes": st.booleans(),
    "metas": st.booleans(),
    "acts": st.booleans(),
    "title": st.sampled_from(["", "T"]),
    "label": st.sampled_from(["", "a note"]),
    "pack": st.integers(0, 2),
}
one_field = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda name: st.tuples(st.just(name), FIELDS[name])
)
one_number = st.tuples(st.sampled_from(sorted(NUMBERS)), st.integers(0, 1))
edits = st.lists(
    st.tuples(one_field | one_number, st.booleans(), st.booleans()), min_size=1, max_size=6
)


def after(state: State, name: str, value: Any) -> State:
    """The state after one edit."""
    if name in NUMBERS:
        return replace(state, numbers={**state.numbers, name: value})
    return replace(state, **{name: deepcopy(value)})


def named(stage: str, at: At) -> Named:
    """A planned item as the oracle names it."""
    if stage == "match":
        ends = {f"{end}.{key}": at[end][key] for end in "ab" for key in _SAE}
        at = {**at, **ends}
    kept = {k: v for k, v in at.items() if k not in (*_OTHERS, "a", "b")}
    return stage, tuple(sorted((key, _text(value)) for key, value in kept.items()))


def _text(value: Any) -> str:
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


@settings(
    max_examples=int(os.environ.get("INTERPSWEEP_EDITS", "30")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(edits)
def test_no_item_is_missed_and_none_is_made_in_vain(steps: list) -> None:
    oracle, state = Oracle(), State()
    known: set[int] = set()
    store: set[str] = set()
    for change, reverse, decimal in [(("label", ""), False, False), *steps]:
        state = after(state, *change)
        items = build_plan(Sweep(**config(state, reverse, decimal)), {}).items.by_digest
        meant = oracle.meanings(state)
        planned = sorted(named(i.stage, i.at) for d, i in items.items() if d not in store)
        assert planned == sorted(name for number, name in meant.items() if number not in known)
        known |= meant.keys()
        store |= items.keys()
