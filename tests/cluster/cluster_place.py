"""Sweeps through a SLURM of our own, in a folder of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cluster import Cluster
from places import Place

QUICK = ("config/config.yaml", "config/overlays/quick.yaml")
# what a site would edit: one local disk, a controller that nobody else asks
SITE = {
    "jobs: 50": "jobs: 4",
    "latency-wait: 60": "latency-wait: 3",
    "slurm-init-seconds-before-status-checks: 20": "slurm-init-seconds-before-status-checks: 3",
}


class ClusterPlace(Place):
    """A working folder whose runs go through the shipped profile to a SLURM of our own."""

    def __init__(self, root: Path, cluster: Cluster) -> None:
        super().__init__(root)
        self.cluster = cluster
        self.profile = "profiles/slurm"
        for profile in (root / "profiles").glob("slurm*/*.yaml"):
            text = profile.read_text()
            for shipped, ours in SITE.items():
                assert text.count(shipped) == 1, f"{profile}: {shipped}"
                text = text.replace(shipped, ours)
            profile.write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "PATH": self.cluster.environment["PATH"]}

    def sweep(self, *arguments: str, status: int = 0) -> str:
        """Run the sweep through SLURM; what it and Snakemake printed."""
        return self.run(
            "run", *QUICK, "--profile", self.profile, "--plain", *arguments, status=status
        )

    def jobs(self, columns: str) -> list[list[str]]:
        """The jobs of this folder as sacct tells them, in order of submission."""
        command = ("sacct", "-X", "-n", "-P", "-D", "-o", f"WorkDir%-500,{columns}")
        rows = [line.split("|") for line in self.cluster.call(*command).splitlines()]
        return [row[1:] for row in rows if row[0] == str(self.root)]

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the same in the background."""
        return subprocess.Popen(
            # a background process may ignore Ctrl-C
            [
                "env",
                "--default-signal=INT",
                *self.command("run", *QUICK, "--profile", self.profile, "--plain"),
                *arguments,
            ],
            cwd=self.root,
            env=self.environment,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
