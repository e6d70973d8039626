"""Real runs in a folder of their own: the same files and the same command as a user's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Place:
    """A working folder like a fresh clone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copy(ROOT / "Snakefile", root)
        for name in ("workflow", "config", "profiles"):
            shutil.copytree(ROOT / name, root / name)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a user who has not activated anything."""
        return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "random"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "interpsweep", *arguments]

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a command of the command line here; return what it printed."""
        result = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        text = result.stdout + result.stderr
        assert result.returncode == status, text[-5000:]
        return text

    def items(self) -> dict[str, bytes]:
        """Every item of the store -> the bytes of its manifest (which hold every file's hash)."""
        found = (self.root / "store").glob("*/*/manifest.json")
        return {str(path.parent.relative_to(self.root)): path.read_bytes() for path in found}

    def stages(self, names: set[str]) -> list[str]:
        """The stages of some items, sorted."""
        return sorted(json.loads(self.items()[name])["stage"] for name in names)
