"""Building blocks of the configuration: `Section` and `field`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticUndefined


class Section(BaseModel):
    """A part of the configuration. Unknown keys are errors; values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """The settings that determine results: every field not declared with ``identity=False``."""
        kept = {}
        for name, info in type(self).model_fields.items():
            extra = info.json_schema_extra
            if isinstance(extra, dict) and extra.get("identity") is False:
                continue
            kept[name] = _plain(getattr(self, name))
        return kept


SectionT = TypeVar("SectionT", bound=Section)


def own_fields(section: type[SectionT], settings: Mapping[str, Any]) -> SectionT:
    """The section built from those entries of `settings` that it declares."""
    return section(**{name: settings[name] for name in section.model_fields if name in settings})


def merge_values(base: Any, over: Any) -> Any:
    """`over` on top of `base`: mappings merge key by key, anything else replaces."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {
            **base,
            **{key: merge_values(base.get(key), value) for key, value in over.items()},
        }
    return over


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.identity()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def field(
    default: Any = PydanticUndefined,
    description: str = "",
    *,
    unit: str | None = None,
    identity: bool = True,
    **constraints: Any,
) -> Any:
    """Declare a setting.

    `description` and `unit` go into the schema and the reference page. ``identity=False`` marks
    what must not change a result (devices, labels, packing): it is left out of every spec. A
    callable `default` is a factory.
    """
    if not description:
        raise TypeError("every setting needs a description")
    extra: dict[str, Any] = {"identity": identity, **({"unit": unit} if unit else {})}
    if callable(default):
        constraints["default_factory"] = default
    elif default is not PydanticUndefined:
        constraints["default"] = default
    return Field(description=description, json_schema_extra=extra, **constraints)
