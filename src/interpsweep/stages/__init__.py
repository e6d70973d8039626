"""The stages of a sweep, in the order of the pipeline: each module here is one, its record.

`record.py` says what a record holds. A new stage that makes one item of each site or SAE is a
module beside these and its name below; how the others' items lie in a sweep, `plan/` says.
"""

from __future__ import annotations

from types import ModuleType

from interpsweep.stages import (
    agreement,
    bundle,
    capture,
    children,
    claims,
    complex,
    concepts,
    corpus,
    encode,
    evaluate,
    figures,
    geometry,
    import_,
    intervene,
    landscape,
    mask,
    match,
    meta,
    model,
    probe,
    recovery,
    report,
    train,
    tree,
)
from interpsweep.stages.record import Stage

_IN_ORDER: tuple[ModuleType, ...] = (
    model,
    corpus,
    capture,
    mask,
    train,
    import_,
    evaluate,
    encode,
    match,
    tree,
    geometry,
    landscape,
    probe,
    meta,
    concepts,
    recovery,
    intervene,
    children,
    agreement,
    complex,
    claims,
    figures,
    report,
    bundle,
)
STAGES: dict[str, Stage] = {module.STAGE.name: module.STAGE for module in _IN_ORDER}

__all__ = ["STAGES", "Stage"]
