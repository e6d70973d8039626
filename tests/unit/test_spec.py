from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpsweep.spec import canonical_json, difference, digest, normalise, slug

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)


@given(st.dictionaries(st.text(), values))
def test_key_order_does_not_matter(value: dict[str, Any]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)


@given(values)
def test_a_round_trip_through_json_keeps_the_digest(value: Any) -> None:
    assert digest(json.loads(canonical_json(value))) == digest(value)


@given(values)
def test_normalising_twice_changes_nothing(value: Any) -> None:
    assert normalise(normalise(value)) == normalise(value)


@given(values, values)
def test_no_difference_means_the_same_digest(a: Any, b: Any) -> None:
    a, b = normalise(a), normalise(b)
    if canonical_json(a) == canonical_json(b):
        assert difference(a, b) == []


def test_one_number_has_one_digest() -> None:
    assert digest({"k": 1}) == digest({"k": 1.0})
    assert digest({"k": 1}) != digest({"k": True})
    assert digest([1, 2, 2]) != digest([1, 1, 2])
    assert digest({"a": 1, "b": 2}) != digest({"a": 2, "b": 1})


@pytest.mark.parametrize("bad", [{1, 2}, object(), float("nan"), float("inf"), {1: 2}, b"x"])
def test_what_has_no_canonical_form_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"spec\.here"):
        normalise({"here": bad})


def test_the_digest_does_not_depend_on_the_hash_seed() -> None:
    code = "from interpsweep.spec import digest; print(digest({'b': [1.0, 'x'], 'a': None}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_difference_names_the_key() -> None:
    assert difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}) == [("a.b", 1, 3)]


@given(st.text())
def test_slugs_are_safe_file_names(text: str) -> None:
    name = slug(text)
    assert name and "/" not in name and not name.startswith(".") and len(name) <= 80
