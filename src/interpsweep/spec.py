"""Identity: a spec is the exact set of settings that determine an artifact; its digest names it.

Specs are plain dictionaries of JSON values. Two specs are the same if and only if their canonical
JSON is: keys sorted, no white space, numbers normalised (``1.0`` and ``1`` are one number).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

Spec = dict[str, Any]

DIGEST_IN_NAME = 16  # hex digits of a digest that appear in file names (64 bits)


def normalise(value: Any, where: str = "spec") -> Any:
    """Return `value` as canonical JSON values.

    Integral floats become integers, tuples become lists. Raises TypeError for anything that JSON
    cannot say exactly (sets, paths, arrays, NaN), naming the place: guessing an identity would
    mean silently stale results.
    """
    return _normal(value, (None, where))


def _normal(value: Any, where: tuple[Any, Any]) -> Any:
    """`where` is (the place around it, key or index): only errors need it as text."""
    if value is None or isinstance(value, str | int):  # bool is an int
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{_named(where)}: {value} has no canonical form")
        return int(value) if value.is_integer() else value
    if isinstance(value, list | tuple):
        return [_normal(item, (where, i)) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{_named(where)}: key {key!r} is not a string")
        return {key: _normal(value[key], (where, key)) for key in sorted(value)}
    raise TypeError(f"{_named(where)}: {type(value).__name__} has no canonical form")


def _named(where: tuple[Any, Any]) -> str:
    around, key = where
    if around is None:
        return str(key)
    return _named(around) + (f".{key}" if isinstance(key, str) else f"[{key}]")


def canonical_json(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, normalised numbers."""
    return normal_json(normalise(value))


def normal_json(value: Any) -> str:
    """The canonical JSON of what `normalise` returned."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 hex digits."""
    return identified(value)[1]


def identified(value: Any) -> tuple[Any, str]:
    """`value` normalised, and its digest."""
    normal = normalise(value)
    return normal, hashlib.sha256(normal_json(normal).encode()).hexdigest()


def slug(text: str) -> str:
    """`text` as a safe file name part: lower-risk characters only, never empty, at most 80 long."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:80] or "x"


def difference(old: Any, new: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """Every place where two specs differ, as (dotted key, old value, new value)."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(old.keys() | new.keys()):
            inner = f"{where}.{key}" if where else key
            found += difference(old.get(key), new.get(key), inner)
        return found
    return [] if old == new else [(where, old, new)]


def input_digests(spec: Spec) -> list[str]:
    """Every digest that a spec names as input."""
    found = []
    for wanted in spec["inputs"].values():
        found += wanted if isinstance(wanted, list) else [wanted]
    return found
