"""The seal of a manifest: a digest of all else in it, so that its own damage shows.

An item's files are vouched for by its manifest; the metrics in the manifest by nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from interpsweep.errors import UserError
from interpsweep.spec import canonical_json, digest

SEAL = "seal"


def sealed(manifest: dict[str, Any]) -> str:
    """The text of a manifest file, with the seal of what `manifest` says."""
    content = {key: value for key, value in manifest.items() if key != SEAL}
    return canonical_json({**content, SEAL: digest(content)}) + "\n"


def read_manifest(path: Path, *, strict: bool = False) -> dict[str, Any]:
    """The content of a manifest file. Raises UserError if it is gone or damaged.

    If `strict`, one without a seal, from a time before there were any, counts as damaged, and so
    does one whose numbers are written otherwise: the last digit of a long one may not change it.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        manifest = json.loads(text)
        seal = manifest.pop(SEAL, None)
    except FileNotFoundError:
        raise UserError(f"{path}: no such item; run the sweep to make it") from None
    except (ValueError, AttributeError, TypeError):  # neither UTF-8 nor JSON, or no mapping
        seal, manifest = "", {}
    changed = text != sealed(manifest) if strict else seal not in (None, digest(manifest))
    if changed:
        raise UserError(
            f"{path}: this manifest is damaged; `interpsweep verify --repair` drops its item, and "
            "the next run makes it again"
        )
    return dict(manifest)
