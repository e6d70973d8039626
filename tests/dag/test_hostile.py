"""Hostile values: whatever a setting holds, no name, path or command has any of it in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import build

from interpsweep.errors import UserError
from interpsweep.store import Store

PAYLOADS = (
    *("; touch pwned", "$(touch pwned)", "`touch pwned`", "x || touch pwned", "a & touch pwned &"),
    *("> pwned", "{wildcards.digest}", "{input}", "{{x}}", "{", "%(x)s", "*", "?", "[a-z]", "~"),
    *("../../pwned", "/etc/passwd", "..", "a/../../b", "C:\\pwned", "-rf", "--config", "", " "),
    *(
        "a\nb",
        "a\rb",
        "a\tb",
        "a\0b",
        "'",
        '"',
        "'; touch pwned '",
        "\u202eabc",
        "ﬁle",
        "оne",
        "🦊",
    ),
    *("!!python/object/apply:os.system", "<script>", "x" * 300),
)
SAFE = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*(/[A-Za-z0-9._][A-Za-z0-9._-]*)*")
TRAINED = {"name": "one", "source": "trained", "sites": ["hook_embed"]}
Config = dict[str, Any]
Put = Callable[[str], Config]

TEXT = {"source": "text", "files": ["text.txt"]}
HUB = {"name": "one", "source": "hub", "repo": "a/b", "sites": ["hook_embed"]}
SAE = {"repo": "a/b", "path": "c", "site": "hook_embed", "format": "saelens", "architecture": "topk",
       "d_sae": 8, "sparsity": 2}  # fmt: skip


def model(**changes: Any) -> Config:
    return {"models": [{**TRAINED, **changes}]}


def hub(**changes: Any) -> Config:
    return {"models": [{**HUB, **changes}], "corpus": TEXT}


def imported(**changes: Any) -> Config:
    return model(saes=[{**SAE, **changes}])


FIELDS: dict[str, Put] = {
    "sweep": lambda x: {"sweep": x},
    "label": lambda x: {"label": x},
    "report.title": lambda x: {"report": {"title": x}},
    "report.introduction": lambda x: {"report": {"introduction": x}},
    "figures.style.font": lambda x: {"figures": {"style": {"font": x}}},
    "figures.draw": lambda x: {"figures": {"draw": [x]}},
    "run.device": lambda x: {"run": {"device": x}},
    "train.architectures": lambda x: {"train": {"architectures": [x]}},
    "models.name": lambda x: model(name=x),
    "models.sites": lambda x: model(sites=[x]),
    "models.sites.site": lambda x: model(sites=[{"site": x, "overrides": {}}]),
    "models.overrides": lambda x: model(overrides={x: {}}),
    "models.path": lambda x: {"models": [{**TRAINED, "source": "path", "path": x}], "corpus": TEXT},
    "models.repo": lambda x: hub(repo=x),
    "models.revision": lambda x: hub(revision=x),
    "corpus.files": lambda x: {**hub(), "corpus": {**TEXT, "files": [x]}},
    "corpus.field": lambda x: {**hub(), "corpus": {**TEXT, "field": x}},
    "corpus.packages": lambda x: {**hub(), "corpus": {"source": "docstrings", "packages": [x]}},
    "corpus.slots": lambda x: {**hub(), "corpus": {"source": "templates", "slots": [x]}},
    "saes.path": lambda x: imported(path=x),
    "saes.repo": lambda x: imported(repo=x),
    "saes.revision": lambda x: imported(revision=x),
    "saes.site": lambda x: imported(site=x),
    "saes.architecture": lambda x: imported(architecture=x),
    "saes.each": lambda x: imported(path="{width}", each={"width": [x]}),
}


class Everything(dict):
    """A lock that knows every outside input, so that planning gets as far as it can."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        if key.startswith(("files:", "packages:")):
            return json.dumps(["text:text.txt"])
        return json.dumps({"format": "saelens"}) if key.startswith("about:") else "0" * 40

    def __or__(self, other: dict) -> Everything:
        return self


def names_of(plan: Any) -> list[str]:
    """Every name and path of a plan that can come into a command, a pattern or a folder."""
    store = Store()
    found = [*plan.listing, *plan.pictures, *plan.reclaimable]
    for job in plan.jobs:
        found += [job.index, job.name]
    return found + [
        str(store.path(item.spec, item.digest)) for item in plan.items.by_digest.values()
    ]


@pytest.mark.parametrize("field", FIELDS)
def test_a_hostile_value_is_refused_or_never_part_of_a_name(
    folder: Any, base: Any, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interpsweep.driver.complete", lambda sweep, lock: Everything())
    Path("text.txt").write_text("some text")
    refused = 0
    for payload in PAYLOADS:
        folder.write({**base, **FIELDS[field](payload)})
        try:
            plan = folder.plan()
        except UserError as error:
            assert "Traceback" not in str(error)
            refused += 1
            continue
        bad = [name for name in names_of(plan) if not SAFE.fullmatch(name) or ".." in name]
        assert bad == [], payload
    print(f"{field}: {refused} of {len(PAYLOADS)} refused, the others in no name")
    assert not Path("pwned").exists()
    assert sorted(p.name for p in Path().iterdir() if p.suffix != ".json") == [
        "sweep.yaml",
        "text.txt",
    ]


COMMAND = re.compile(r"(exec )?python -m interpsweep(\.results)?( [A-Za-z0-9._/-]+)+( > \S+ 2>&1)?")
COPY = re.compile(r"cp [A-Za-z0-9._/-]+ [A-Za-z0-9._/-]+ && cp [A-Za-z0-9._/-]+ [A-Za-z0-9._/-]+")


def test_no_command_holds_anything_from_a_config(folder: Any, base: Any) -> None:
    text = " ".join(payload for payload in PAYLOADS if "\0" not in payload and len(payload) < 100)
    base |= {
        "label": text[:500],
        "report": {"title": text[:100], "introduction": text},
        "figures": {"style": {"font": text}},
    }
    folder.write(base)
    commands = [job.shellcmd for dag in build(folder) for job in dag.jobs if job.shellcmd]
    assert len(commands) > 50
    unknown = [c for c in commands if not (COMMAND.fullmatch(c) or COPY.fullmatch(c))]
    assert unknown == []
