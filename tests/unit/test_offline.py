"""Without network: what needs none works, what needs it says so once, with the remedy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Every look-up of a name and every connection fails, as on a compute node.
BLOCKED = """
import errno, sys

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        with open("attempts", "a") as file:
            file.write(f"{event} {args}\\n")
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

sys.addaudithook(refuse)
from interpsweep.cli import main
main()
"""

HUB = "sweep: s\nmodels:\n  - {name: m, source: hub, repo: a/b, sites: [hook_embed]}\n"
TRAINED = "sweep: s\nmodels:\n  - {name: m, source: trained, sites: [hook_embed]}\n"
TEXT = "corpus: {source: text, files: [text.txt]}\n"
DATASET = HUB + "corpus: {source: datasets, repo: c/d}\n"
SAE = TRAINED.replace("]}", "], saes: [{repo: e/f, path: g, site: hook_embed}]}")


def offline(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The command line in a process that has no network and an empty cache."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {"HF_HOME": str(folder / "hub"), "HOME": str(folder)}
    command = [sys.executable, "-c", BLOCKED, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", [("lock",), ("run", "--dry-run"), ("status",)])
def test_a_sweep_without_outside_inputs_needs_no_network(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text(TRAINED)
    result = offline(tmp_path, *command, "s.yaml")
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "attempts").exists()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (HUB + TEXT, "a/b: no network, and revision 'main' is not in the local cache. On a machine "
         "with network: hf download a/b --revision main"),
        (SAE, "e/f: no network, and revision 'main' is not in the local cache. On a machine with "
         "network: hf download e/f --revision main --include 'FOLDER/*'  (each SAE's `path`)"),
        (HUB.replace("sites", "revision: 'v1; touch pwned', sites") + TEXT,
         "a/b: no network, and revision 'v1; touch pwned' is not in the local cache. On a machine "
         "with network: hf download a/b --revision 'v1; touch pwned'"),
    ],
    ids=["model", "SAE", "hostile revision"],
)  # fmt: skip
def test_what_is_on_the_hub_is_asked_for_once(config: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(config)
    (tmp_path / "text.txt").write_text("some text")
    result = offline(tmp_path, "run", "s.yaml")
    assert (result.returncode, result.stderr) == (2, f"interpsweep: {says}\n")
    assert len((tmp_path / "attempts").read_text().splitlines()) <= 2
    assert not (tmp_path / "store").exists()


def test_a_data_set_is_asked_for_once(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(DATASET)
    (tmp_path / "s.lock.json").write_text(json.dumps({"inputs": {"hub:a/b@main": "0" * 40}}))
    result = offline(tmp_path, "run", "s.yaml")
    assert result.returncode == 2
    assert result.stderr == (
        "interpsweep: data set c/d@main: no network; give the 40-digit commit as corpus.revision, "
        "or run `interpsweep lock` with network\n"
    )
    assert len((tmp_path / "attempts").read_text().splitlines()) <= 2
