"""Settings of SAEs that somebody else trained: where they are, and their place in the sweep."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import field_validator, model_validator

from interpsweep.config.base import Section, field
from interpsweep.errors import nearest

Format = Literal[
    "auto",
    "saelens",
    "gemma_scope",
    "gemma_scope_2",
    "llama_scope",
    "sparsify",
    "dictionary_learning",
]
KIND = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"  # an architecture's name: it becomes part of file names
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TEMPLATES = ("path", "repo", "site", "d_sae", "sparsity", "seed")
_REPO = (
    "Repository of the Hugging Face hub, such as `google/gemma-scope-2b-pt-res`; null for a "
    "folder on this machine"
)
_SITE = "Hook name of the activations it was trained on"
_D_SAE = "Number of latents; null takes what the files say"
_SPARSITY = (
    "Its place on the sparsity axis: SAEs of several widths are one family only if this is equal. "
    "Null takes k, or the L0 that the files or the folder's name state"
)
_SEED = "Tells SAEs apart that are alike in all else; null takes what the files say, or 0"


class ImportedSAE(Section):
    """One SAE from outside. What is null here is read from its files by `interpsweep lock`."""

    path: str = field(
        description="The folder with the SAE's files; with `repo` the folder within the repository",
        identity=False,
        min_length=1,
    )
    repo: str | None = field(
        None,
        _REPO,
        identity=False,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$",
    )
    revision: str = field(
        "main", "Branch, tag or commit; the lock keeps the commit it stood for", identity=False
    )
    site: str = field(description=_SITE)
    format: Format = field("auto", "Format of the files; auto looks at them")
    architecture: str | None = field(
        None,
        "Name of its kind in families and figures; null takes what the files say",
        pattern=KIND,
    )
    d_sae: int | None = field(None, _D_SAE, unit="latents", gt=0)
    sparsity: float | None = field(None, _SPARSITY, gt=0)
    seed: int | None = field(None, _SEED, ge=0)
    scale: float | Literal["estimate"] | None = field(
        None,
        "Factor by which activations were multiplied before the SAE saw them, folded into its "
        "weights; `estimate` takes sqrt(d_in) / mean norm of this sweep's activations",
    )
    centred: bool | None = field(
        None,
        "Whether the SAE saw activations minus their mean over dimensions, as TransformerLens' "
        "center_writing_weights makes them; folded into its encoder. Null takes what the files say",
    )
    check_hook: bool = field(
        True, "Refuse an SAE whose files name another hook or layer than `site`", identity=False
    )

    @model_validator(mode="after")
    def _inside_the_repository(self) -> ImportedSAE:
        if self.repo is not None:
            path = PurePosixPath(self.path)
            if path.is_absolute() or ".." in path.parts or "\\" in self.path:
                raise ValueError(f"path {self.path!r} leaves the repository; write a path in it")
        if isinstance(self.scale, float) and self.scale <= 0:
            raise ValueError("scale must be above zero")
        return self


class ImportEntry(ImportedSAE):
    """SAEs from outside: one, or with `each` one for every row of values.

    `{name}` in path, repo, site, d_sae, sparsity and seed stands for a value of `each`:
    ``{path: "layer_{layer}/width_{width}", site: "blocks.{layer}.hook_resid_post",
    each: {layer: [6, 12], width: [16k, 65k]}}`` are four SAEs.
    """

    site: str = field(description=_SITE, min_length=1)
    d_sae: int | str | None = field(None, _D_SAE, unit="latents")  # type: ignore[assignment]
    sparsity: float | str | None = field(None, _SPARSITY)  # type: ignore[assignment]
    seed: int | str | None = field(None, _SEED)  # type: ignore[assignment]
    repo: str | None = field(None, _REPO, identity=False)
    each: dict[str, tuple[str | int | float, ...]] | tuple[dict[str, str | int | float], ...] = (
        field(
            dict,
            "Values of the placeholders: lists by name for all their combinations, or a list of "
            "rows where values belong together",
        )
    )

    @field_validator("each")
    @classmethod
    def _not_empty(cls, each: Any) -> Any:
        if isinstance(each, dict):
            for name, values in each.items():
                if not values:
                    raise ValueError(f"each.{name}: the list is empty")
        return each

    @model_validator(mode="after")
    def _expandable(self) -> ImportEntry:
        self.expand()
        return self

    def expand(self) -> list[ImportedSAE]:
        """The SAEs that the entry stands for. Raises ValueError for an unknown placeholder."""
        plain = {name: getattr(self, name) for name in ImportedSAE.model_fields}
        return [
            ImportedSAE(**{k: self._filled(k, v, row) for k, v in plain.items()})
            for row in self._rows()
        ]

    def _rows(self) -> Iterator[dict[str, Any]]:
        if isinstance(self.each, dict):
            for values in itertools.product(*self.each.values()):
                yield dict(zip(self.each, values, strict=True))
        else:
            yield from self.each

    @staticmethod
    def _filled(key: str, value: Any, row: dict[str, Any]) -> Any:
        if key not in _TEMPLATES or not isinstance(value, str):
            return value
        for name in _PLACEHOLDER.findall(value):
            if name not in row:
                raise ValueError(f"{key}: {{{name}}} has no value in `each`{nearest(name, row)}")
        return _PLACEHOLDER.sub(lambda found: str(row[found[1]]), value)


class ImportSettings(Section):
    """Everything that determines one imported SAE, beside the activations of its site."""

    format: str = field(description="Format of the files")
    content: str | dict[str, str] = field(
        description="Content digest of a local folder; repository, commit and path of a hub one"
    )
    site: str = field(description=_SITE)
    architecture: str = field(description="Name of its kind in families and figures")
    d_sae: int = field(description="Number of latents", unit="latents", gt=0)
    sparsity: float = field(description="Its place on the sparsity axis", gt=0)
    seed: int = field(description="Tells apart what is alike in all else", ge=0)
    scale: float | Literal["estimate"] | None = field(
        None, "Factor on activations to be folded into the weights"
    )
    centred: bool = field(False, "Whether to fold the centring of activations into the encoder")
