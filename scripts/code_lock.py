"""Notice when a stage's code changed and nobody said whether its results did.

    python scripts/code_lock.py                          check (the tests do)
    python scripts/code_lock.py --same-results train     the change of `train` changes no result
    python scripts/code_lock.py --raised                 versions in stages/ were raised: note it

The lock holds, for each stage, its version and a digest of the syntax trees (comments, docstrings
and formatting left out) of its module and of every module of ours that it imports.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from interpsweep.stages import STAGES

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
LOCK = ROOT / "workflow" / "code.lock.json"

# They move bytes about but never decide one: identity, scheduling, progress, errors.
NEUTRAL = ("errors", "context", "jobs", "lock", "stages", "store", "driver", "plan")

# Their strings are names, titles and patterns; elsewhere in the configuration they are prose.
NO_PROSE = ("interpsweep.config.sites", "interpsweep.config.figures")

# Their modules are chosen by name while running: all of them count.
CHOSEN_BY_NAME = ("saes.architectures", "geometry.shapes", "figures")


def stage_digest(stage: str) -> str:
    """Digest of all code, and of all data shipped beside it, that can decide a stage's results."""
    sha = _hashed(closure(STAGES[stage].module))
    package = SOURCE / Path(*STAGES[stage].module.split(".")[:-1])
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts:
            sha.update(path.name.encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()


def digest_of(modules: set[str]) -> str:
    """Digest of the code of some modules."""
    return _hashed(modules).hexdigest()


def _hashed(modules: set[str]) -> Any:
    sha = hashlib.sha256()
    for name in sorted(modules):
        sha.update(f"{name}\0{_meaning(name)}\n".encode())
    return sha


def closure(module: str) -> set[str]:
    """The modules of ours that `module` imports, directly or not, itself included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or _file(name) is None or name.split(".")[1:2] in ([n] for n in NEUTRAL):
            continue
        found.add(name)
        waiting += _imports(name)
        if name.removeprefix("interpsweep.") in CHOSEN_BY_NAME:
            folder = SOURCE / Path(*name.split("."))
            waiting += [f"{name}.{path.stem}" for path in folder.glob("*.py")]
    return found


def _file(module: str) -> Path | None:
    path = SOURCE / Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _imports(module: str) -> list[str]:
    """First-party modules that a module names in its import statements, lazy ones included."""
    names = []
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("interpsweep.")]


def _tree(module: str) -> ast.Module:
    path = _file(module)
    assert path is not None
    return ast.parse(path.read_text(encoding="utf-8"))


def _meaning(module: str) -> str:
    """A module's syntax tree without docstrings; of the configuration also without its prose."""
    tree = _tree(module)
    prose = module.startswith("interpsweep.config.") and module not in NO_PROSE
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            first.value.value = ""
        if prose and isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def stale() -> dict[str, str]:
    """Stage -> what is wrong with its entry in the lock."""
    lock = json.loads(LOCK.read_text()) if LOCK.exists() else {}
    problems = {}
    for name, stage in STAGES.items():
        entry = lock.get(name, {})
        if entry.get("version") != stage.version:
            problems[name] = "its version is not the one in the lock: run with --raised"
        elif entry.get("code") != stage_digest(name):
            problems[name] = (
                "its code changed. If its results do too, raise its version in stages/ and run "
                f"with --raised; if not, run with --same-results {name}"
            )
    return problems


def main() -> int:
    """Check the lock, or note changes in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--same-results", nargs="+", metavar="STAGE", choices=STAGES, default=[])
    parser.add_argument("--raised", action="store_true")
    options = parser.parse_args()
    lock = json.loads(LOCK.read_text()) if LOCK.exists() else {}
    for name, stage in STAGES.items():
        raised = options.raised and lock.get(name, {}).get("version") != stage.version
        if raised or name in options.same_results:
            lock[name] = {"version": stage.version, "code": stage_digest(name)}
    if options.raised or options.same_results:
        LOCK.write_text(json.dumps(lock, indent=2, sort_keys=True) + "\n")
    problems = stale()
    for name, problem in problems.items():
        print(f"stage {name}: {problem}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
