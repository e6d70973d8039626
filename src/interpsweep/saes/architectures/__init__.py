"""One module per architecture; the module's name is the name users write.

Each defines ``class SAE(Architecture)`` (see `_base`). A file whose name does not begin with an
underscore is an architecture: adding one needs no other change.
"""

from __future__ import annotations

import importlib

from interpsweep.saes.architectures._base import Architecture


def architecture(name: str) -> type[Architecture]:
    """The class behind an architecture's name."""
    return importlib.import_module(f"{__name__}.{name}").SAE
