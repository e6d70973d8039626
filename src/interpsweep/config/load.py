"""From YAML files to a validated `Sweep`: overlays merged, errors by file, line and dotted key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from interpsweep.config.mistakes import Key, what_is_wrong
from interpsweep.config.sweep import Sweep
from interpsweep.errors import UserError

Lines = dict[Key, str]  # where each key was last set, as "file:line"

_DOTTED = re.compile(r"([a-z_]+(?:\.[a-z_]+|\[\d+\])*): ")


def load_sweep(paths: Iterable[Path | str], given: Mapping[str, str] | None = None) -> Sweep:
    """Read one or more YAML files, later ones over earlier ones, and validate the result.

    Mappings merge key by key; anything else replaces. `given` are sections given on the command
    line, as YAML, over the files. Raises UserError listing every mistake with file, line, dotted
    key, and the nearest valid name of an unknown key.
    """
    merged, lines = merge_files([Path(path) for path in paths])
    for key, value in (given or {}).items():
        place = Path(f"--config {key}")
        _merge(merged, _parse(f"{key}: {value}", place), lines, (), place)
    return validate(merged, lines)


def merge_files(paths: list[Path]) -> tuple[dict[str, Any], Lines]:
    """Merge YAML files into plain data, and remember where each key was set; () is the files."""
    merged: dict[str, Any] = {}
    lines: Lines = {(): " + ".join(map(str, paths))}
    for path in paths:
        _merge(merged, _read(path), lines, (), path)
    return merged, lines


def validate(data: dict[str, Any], lines: Lines | None = None) -> Sweep:
    """Validate plain data. Raises UserError with one line for each mistake."""
    try:
        return Sweep.model_validate(data)
    except ValidationError as error:
        mistakes = [_explain(dict(item), data, lines or {}) for item in error.errors()]
        raise UserError("\n".join(dict.fromkeys(mistakes))) from None


def _read(path: Path) -> CommentedMap:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read this configuration: {error}") from None
    return _parse(text, path)


def _parse(text: str, path: Path) -> CommentedMap:
    try:
        data = YAML(typ="rt").load(text)  # YAML 1.2: `1e-3` is a number, `no` is a word
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else "?"
        raise UserError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    if data is None:
        return CommentedMap()
    if not isinstance(data, CommentedMap):
        raise UserError(f"{path}:1: a configuration is a mapping of keys to values")
    return data


def _merge(base: dict[str, Any], over: CommentedMap, lines: Lines, where: Key, path: Path) -> None:
    for key, value in over.items():
        place = (*where, key)
        lines[place] = f"{path}:{over.lc.key(key)[0] + 1}"
        if isinstance(value, CommentedMap) and isinstance(base.get(key), dict):
            _merge(base[key], value, lines, place, path)
        else:
            base[key] = _plain(value, lines, place, path)


def _plain(value: Any, lines: Lines, where: Key, path: Path) -> Any:
    """Plain Python data from ruamel's nodes. Raises UserError for a tagged value."""
    tag = getattr(getattr(value, "tag", None), "value", None)
    if tag is not None:
        raise UserError(f"{lines[where]}: {where[-1]}: YAML tags such as {tag} mean nothing here")
    if isinstance(value, CommentedMap):
        inner: dict[str, Any] = {}
        _merge(inner, value, lines, where, path)
        return inner
    if isinstance(value, CommentedSeq):
        for i in range(len(value)):
            lines[(*where, i)] = f"{path}:{value.lc.item(i)[0] + 1}"
        return [_plain(item, lines, (*where, i), path) for i, item in enumerate(value)]
    if isinstance(value, bool) or value is None:
        return value
    for plain in (int, float):
        if isinstance(value, plain):
            return plain(value)
    try:  # JSON escapes a character outside the basic plane as two halves: join them
        return str(value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        message = f"{lines[where]}: {where[-1]}: half a character of UTF-16 is no text"
        raise UserError(message) from None


def _explain(error: dict[str, Any], data: dict[str, Any], lines: Lines) -> str:
    """One mistake as ``file:line: dotted.key: what is wrong; remedy``."""
    missing = error["type"] == "missing"
    place = _key_in_data(tuple(error["loc"]), data, keep_last=missing or "extra" in error["type"])
    if error["type"].startswith("union_tag"):
        place = (*place, error["ctx"]["discriminator"].strip("'"))
    place, text = _own_place(what_is_wrong(error, Sweep), place, data)
    where = _nearest_line(place[:-1] if missing else place, lines)
    dotted = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in place).lstrip(".")
    return f"{where}: {dotted or 'configuration'}: {text}"


def _key_in_data(loc: Key, data: Any, *, keep_last: bool) -> Key:
    """Drop the parts of a pydantic location that are tags of a union, not keys of the file."""
    kept: list[str | int] = []
    for i, part in enumerate(loc):
        in_list = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if in_list or (isinstance(data, dict) and part in data):
            data = data[part]
        elif i < len(loc) - 1 or not keep_last:
            continue
        kept.append(part)
    return tuple(kept)


def _own_place(text: str, place: Key, data: dict[str, Any]) -> tuple[Key, str]:
    """The place that a message names at its beginning, from the root or from `place`; the rest."""
    found = _DOTTED.match(text)
    if found is None:
        return place, text
    parts = tuple(int(p) if p.isdigit() else p for p in re.split(r"[.\[\]]+", found[1]) if p)
    below: Any = data
    for part in place:
        below = below[part] if isinstance(below, dict | list) else None  # type: ignore[index]
    if parts[0] in data:
        return parts, text[found.end() :]
    if isinstance(below, dict) and parts[0] in below:
        return (*place, *parts), text[found.end() :]
    return place, text


def _nearest_line(place: Key, lines: Lines) -> str:
    for end in range(len(place), 0, -1):
        if place[:end] in lines:
            return lines[place[:end]]
    return lines.get((), "configuration")
