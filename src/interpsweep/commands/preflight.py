"""Checks that need the models or the disk, made once before any job is submitted."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from interpsweep.errors import UserError
from interpsweep.lock import externals, import_about
from interpsweep.plan import Plan
from interpsweep.plan.build import there
from interpsweep.plan.estimate import estimate, free_bytes, model_question, question_path
from interpsweep.saes.formats.files import WEIGHTS, hub_files
from interpsweep.store import Store
from interpsweep.store.layout import write_atomic


def preflight(plan: Plan, store: Store) -> None:
    """Check, once for each model and set of sites, that the model has the sites; then disk space.

    Raises UserError before anything is computed.
    """
    for model in plan.sweep.models:
        question = model_question(model, plan.lock)
        answer = question_path(question, store)
        if answer.exists():
            check_imports(plan, store, model, json.loads(answer.read_text(encoding="utf-8")))
            continue
        print(f"checking the sites of model {model.name} (once)", flush=True)
        asked = {**question, "externals": externals(plan.lock)}
        command = [sys.executable, "-m", "interpsweep.commands.check_model"]
        result = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise UserError((result.stdout.strip() or result.stderr.strip())[-4000:])
        write_atomic(answer, result.stdout)
        check_imports(plan, store, model, json.loads(result.stdout))
    check_disk(plan, store)


def check_imports(plan: Plan, store: Store, model: Any, answer: dict[str, Any]) -> None:
    """Raise UserError if an imported SAE has another width than its site, or is not here."""
    for site, width in answer["widths"].items():
        for sae in model.imports(site):
            d_in = import_about(sae, plan.lock).get("d_in", width)
            if d_in != width:
                raise UserError(
                    f"models[].saes: {sae.path}: an SAE for activations of width {d_in}; those of "
                    f"{site} of model {model.name!r} have width {width}"
                )
    for item in plan.items.of("import", model=model.name):
        where = item.spec["settings"]["content"]
        if isinstance(where, dict) and not there(store, item):
            found = hub_files(where["repo"], where["commit"], where["path"], network=False)
            found.need(WEIGHTS[item.spec["settings"]["format"]])


def check_disk(plan: Plan, store: Store) -> None:
    """Raise UserError if what is left to write does not fit on the disk."""
    needed = sum(cost.bytes for cost in estimate(plan, store).values())
    free = free_bytes(store.root)
    if needed > free:
        raise UserError(
            f"{store.root.absolute()}: the sweep needs about {needed / 1e9:,.1f} GB and "
            f"{free / 1e9:,.1f} GB are free. Free some space (`interpsweep gc`), set "
            "keep.activations: until_trained, or use fewer tokens or sites"
        )
