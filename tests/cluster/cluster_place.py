"""Sweeps through a SLURM of our own, in a folder of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cluster import Cluster, wait_until
from places import Place

QUICK = ("config/config.yaml", "config/overlays/quick.yaml")
LONGER = Path(__file__).with_name("longer.yaml")
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
        self._settle(cluster)
        shutil.copy(LONGER, root / "config/overlays")
        for profile in (root / "profiles").glob("slurm*/profile*.yaml"):
            text = profile.read_text()
            for shipped, ours in SITE.items():
                assert text.count(shipped) == 1, f"{profile}: {shipped}"
                text = text.replace(shipped, ours)
            profile.write_text(text)

    def _settle(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.profile = "profiles/slurm"
        self.configs = [*QUICK, f"config/overlays/{LONGER.name}"]
        self.flag = self.root / "flag"

    def copied(self, root: Path) -> ClusterPlace:
        """A copy of this folder with all it holds."""
        shutil.copytree(self.root, root, symlinks=True)
        other = ClusterPlace.__new__(ClusterPlace)
        other.root = root
        other._settle(self.cluster)
        return other

    @property
    def environment(self) -> dict[str, str]:
        path = self.cluster.environment["PATH"]
        return {**super().environment, "PATH": f"{self.root / 'bin'}:{path}"}

    # ------------------------------------------------------------------ before a run

    def configure(self, text: str) -> None:
        """Add an overlay to the configuration."""
        name = f"config/overlays/more{len(self.configs)}.yaml"
        (self.root / name).write_text(text)
        self.configs.append(name)

    def edit_profile(self, shipped: str, ours: str) -> None:
        """Change lines of the profile."""
        [path] = (self.root / self.profile).glob("profile*.yaml")
        text = path.read_text()
        assert shipped in text
        path.write_text(text.replace(shipped, ours))

    def shim(self, name: str, script: str) -> None:
        """Put a script in front of a client of the cluster; `{flag}` is `self.flag`."""
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        real = f"{self.cluster.root}/bin/{name}"
        path.write_text(
            "#!/bin/sh\n" + script.format(flag=self.flag).replace(f"{name} ", f"{real} ") + "\n"
        )
        path.chmod(0o755)

    # ------------------------------------------------------------------ runs

    def _arguments(self) -> list[str]:
        return ["run", *self.configs, "--profile", self.profile, "--plain"]

    def sweep(self, *arguments: str) -> str:
        """Run the sweep through SLURM; what it and Snakemake printed."""
        return self.run(*self._arguments(), *arguments)

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the same in the background, its output in a file."""
        # a process in the background may ignore Ctrl-C
        command = ["env", "--default-signal=INT", *self.command(*self._arguments()), *arguments]
        with (self.root / "driver.log").open("a") as log:
            return subprocess.Popen(
                command,
                cwd=self.root,
                env=self.environment,
                start_new_session=True,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    # ------------------------------------------------------------------ what happens

    def driver_log(self) -> str:
        """What the drivers printed so far."""
        return (self.root / "driver.log").read_text(errors="replace")

    def job_log(self, stage: str) -> str:
        """What the jobs of a stage printed so far, the last attempt only of each."""
        return "".join(path.read_text() for path in (self.root / "logs" / stage).glob("*.log"))

    def state(self) -> str:
        """For messages of tests: the queue and what the driver says."""
        return self.cluster.call("squeue") + self.driver_log()[-3000:]

    def jobs(self, columns: str) -> list[list[str]]:
        """The jobs of this folder as sacct tells them, requeued ones once for every start."""
        command = ("sacct", "-X", "-n", "-P", "-D", "-o", f"WorkDir,{columns}")
        rows = [line.split("|") for line in self.cluster.call(*command).splitlines()]
        return [row[1:] for row in rows if row[0] == str(self.root)]

    def start_soon(self, job: str) -> None:
        """Wait until SLURM has taken a job back into the queue, and spare it the usual delay."""
        queued = ("squeue", "-h", "-j", job, "-o", "%T")
        wait_until(
            lambda: self.cluster.call(*queued).strip() == "PENDING",
            "the job to be requeued",
            120,
            self.state,
        )
        self.cluster.call("scontrol", "update", f"job={job}", "StartTime=now")

    def clear_queue(self) -> None:
        """Cancel everything and wait until it is gone."""
        self.cluster.call("scancel", "--user=root")
        wait_until(lambda: not self.cluster.call("squeue", "-h"), "the queue to empty", 90)
