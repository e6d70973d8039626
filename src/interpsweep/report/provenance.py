"""What an item was made from: the manifests of the item, its inputs, their inputs, and so on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from interpsweep.errors import UserError
from interpsweep.spec import DIGEST_IN_NAME, input_digests
from interpsweep.store.layout import MANIFEST
from interpsweep.store.seal import read_manifest


def ancestry(items: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Manifests of `items` and of everything they depend on, by digest, in order of stage.

    Items whose data were reclaimed keep their manifest, so they are in it too. Raises UserError if
    one is not there: a paper's zip without the origin of a figure would claim too much.
    """
    found: dict[str, dict[str, Any]] = {}
    waiting = sorted(items)
    folders = _folders(waiting)
    while waiting:
        path = waiting.pop()
        manifest = read_manifest(path / MANIFEST)
        if manifest["digest"] in found:
            continue
        found[manifest["digest"]] = manifest
        for digest in input_digests(manifest["spec"]):
            if digest[:DIGEST_IN_NAME] not in folders:
                raise UserError(
                    f"{path}: what it was made from, item {digest[:DIGEST_IN_NAME]}, is no longer "
                    "in the store; restore it, or run the sweep with the configuration that made it"
                )
            if digest not in found:
                waiting.append(folders[digest[:DIGEST_IN_NAME]])
    return dict(sorted(found.items(), key=lambda pair: (pair[1]["stage"], pair[0])))


def _folders(items: list[Path]) -> dict[str, Path]:
    """Every item of the stores that `items` lie in, by the digest in its name."""
    roots = sorted({item.parent.parent for item in items})
    return {
        path.name.rsplit("-", 1)[-1]: path for root in roots for path in sorted(root.glob("*/*-*"))
    }
