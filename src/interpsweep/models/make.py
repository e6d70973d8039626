"""Stage ``model``: a model trained here, or a checkpoint made of a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interpsweep.context import Context
from interpsweep.models import gguf, train
from interpsweep.spec import Spec


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Make the model that `spec` describes; see `models.train` and `models.gguf` for the files."""
    if spec["settings"]["source"] == "gguf":
        return gguf.convert(spec["settings"], out, ctx)
    return train.run(spec, inputs, out, ctx)
