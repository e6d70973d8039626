"""``python -m interpsweep.commands.check_model``: does a model have these sites?

Part of the preflight, in a process of its own so that the driver stays light. Reads the question
as JSON from standard input and prints the width of every site and the model's size as JSON; a
mistake goes to standard error and the status is 2.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpsweep.config.models import Architecture
from interpsweep.context import Context
from interpsweep.errors import UserError, nearest
from interpsweep.lock import openers

if TYPE_CHECKING:
    from interpsweep.models.load import LoadedModel


def facts(question: dict[str, Any]) -> dict[str, Any]:
    """The width of every site that `question` asks about, and the size of the model.

    Raises UserError for a missing site.
    """
    from interpsweep.models import gguf, native
    from interpsweep.models.load import load_model, load_without_weights

    if question["model"]["source"] == "world":
        widths = dict.fromkeys(question["sites"], question["width"])
        return {"name": question["name"], "widths": widths, "parameters": 0, "vocabulary": 0}
    if question["model"]["source"] == "activations":
        return _stored(question)
    ctx = Context(device="cpu", outside=openers(question["externals"]))
    source = question["model"]["source"]
    if source not in ("trained", "gguf"):
        return _facts(load_model(question["model"], None, ctx), question)
    with tempfile.TemporaryDirectory() as folder:  # the same model, before it is made
        if source == "gguf":
            gguf.describe(ctx.external(question["weights"]), Path(folder), ctx)
            return _facts(load_without_weights(Path(folder), question["name"]), question)
        config = native.native_config(Architecture(**question["architecture"]), 8, 0)
        native.save(native.build(config), config, [], Path(folder))
        return _facts(load_model(question["model"], Path(folder), ctx), question)


def _stored(question: dict[str, Any]) -> dict[str, Any]:
    """The widths of sites whose activations are there."""
    there = question["widths"]
    for site in question["sites"]:
        if site not in there:
            raise UserError(f"no activations of {site}{nearest(site, there)}; there are {there}")
    widths = {site: there[site] for site in question["sites"]}
    return {"name": question["name"], "widths": widths, "parameters": 0, "vocabulary": 0}


def _facts(model: LoadedModel, question: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": question["name"],
        "widths": model.site_widths(question["sites"]),
        "parameters": sum(weight.numel() for weight in model.bridge.parameters()),
        "vocabulary": int(model.bridge.cfg.d_vocab),
    }


def main() -> None:
    """Answer the question on standard input."""
    question = json.load(sys.stdin)
    try:
        print(json.dumps(facts(question)))
    except UserError as error:
        print(f"model {question['name']!r}: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
