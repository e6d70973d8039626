"""The other packages, in their own environment: run by subprocess, spoken to through files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).with_name("peers.py")
TOLERANCE = 1e-5


@pytest.fixture(scope="session")
def peers() -> Callable[..., None]:
    """Run peers.py with arguments. INTERPSWEEP_PEERS names another Python than .venv-interop's."""
    python = Path(os.environ.get("INTERPSWEEP_PEERS", ROOT / ".venv-interop/bin/python"))
    if not python.exists():
        pytest.exit(f"{python} does not exist; `make test-interop` makes it", returncode=2)

    def run(*arguments: object) -> None:
        command = [str(python), str(PEERS), *map(str, arguments)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {"HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr[-4000:]

    return run
