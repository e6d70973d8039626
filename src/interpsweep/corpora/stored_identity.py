"""What a folder of activations is, for the lock: a digest of its files, its sites and widths.

No numpy before a folder is looked into: planning reads the lock only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interpsweep.corpora.identity import folder_digest


def digest(folder: Path) -> str:
    """``sha256:...`` over the files that count. Raises UserError if there are none."""
    from interpsweep.corpora.stored import data_files

    folder = folder.expanduser()
    return folder_digest(folder, data_files(folder))


def about(folder: Path) -> dict[str, Any]:
    """Rows of a folder, and the width at each site. Raises UserError for what does not fit."""
    from interpsweep.corpora.stored import Stored

    found = Stored(folder.expanduser())
    return {"rows": found.rows, "widths": found.widths}
