"""What is wrong with a configuration, in words for people."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from interpsweep.errors import nearest

Key = tuple[str | int, ...]

_SHORT = {
    "missing": "this key is required",
    "union_tag_not_found": "this key is required",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "tuple_type": "must be a list, such as [1, 2]",
    "list_type": "must be a list, such as [1, 2]",
    "model_type": "must be a section of keys and values",
    "model_attributes_type": "must be a section of keys and values",
    "dict_type": "must be a section of keys and values",
    "invalid_key": "keys must be text",
}

# keys that were elsewhere before -> what they are now
MOVED = {
    "capture.statistics_rows": "mask.statistics_rows",
    "match.confidence": "a constant of 0.95",
    "match.null_latents": "a constant of 2048",
    "tree.confidence": "a constant of 0.95",
    "tree.composition_parents": "a constant of 3",
    "geometry.cloud_points": "a constant of 2000",
    "geometry.cloud_draws": "a constant of 19",
    "geometry.panel_points": "a constant of 400",
    "landscape.factor_quantile": "a constant of 0.999",
    "landscape.neighbours": "a constant of 10",
    "concepts.components": "a constant of 6",
    "concepts.exact_limit": "a constant of 8",
    "concepts.ridge": "a constant of 0.001",
    "geometry.level": "a constant of 0.05 (the level of claims is claims.q)",
    "claims.levels": "recovery.levels",
    **{
        f"claims.{key}": f"children.{key}"
        for key in ("parents", "children", "triplets", "null_dictionaries")
    },
    **{f"claims.{key}": f"children.{key} and complexes.{key}" for key in ("draws", "seed")},
    **{f"claims.{key}": f"complexes.{key}" for key in ("simplex", "simplex_npmi")},
}
# keys that are gone -> why
GONE = {
    "geometry.reruns": "how stable clusters are, which nothing read, is not measured any more",
}


def what_is_wrong(error: dict[str, Any], root: type[BaseModel]) -> str:
    """What an error of pydantic says, in the words of YAML and with the nearest valid name.

    `root` is the section that was validated.
    """
    kind, context, loc = error["type"], error.get("ctx", {}), tuple(error["loc"])
    if kind == "extra_forbidden":
        if now := MOVED.get(".".join(map(str, loc))):
            return f"no such key any more; it is {now} now"
        if why := GONE.get(".".join(map(str, loc))):
            return f"no such key any more: {why}"
        return "no such key" + nearest(str(loc[-1]), _known_keys(root, loc[:-1]))
    if kind == "union_tag_invalid":
        known = context["expected_tags"].replace("'", "").split(", ")
        return f"{context['tag']!r} is none of {', '.join(known)}{nearest(context['tag'], known)}"
    said = error["msg"].replace("Value error, ", "").replace("Input should be", "must be")
    text = _SHORT.get(kind, said)
    if kind.startswith(("missing", "union_tag")) or isinstance(error["input"], dict | list):
        return text
    return f"{text} (got {'null' if error['input'] is None else repr(error['input'])})"


def _known_keys(root: type[BaseModel], loc: Key) -> list[str]:
    """The valid keys of the section at a pydantic location (tags of unions included in it)."""
    models: list[Any] = [root]
    for part in loc:
        if isinstance(part, int):
            continue
        inner = [
            found
            for model in models
            if part in model.model_fields
            for found in sections_in(model.model_fields[part].annotation)
        ]
        tagged = [model for model in models if _tag(model) == part]
        models = inner or tagged or models
    return sorted({name for model in models for name in model.model_fields})


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    """Every section class that a type annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found = []
    for inner in getattr(annotation, "__args__", ()):
        found += sections_in(inner)
    return found


def _tag(model: type[BaseModel]) -> Any:
    tag = model.model_fields.get("source") or model.model_fields.get("kind")
    return tag.default if tag is not None else None
