"""A real SLURM on one machine: controller, accounting, two nodes with two pretended GPUs each.

``python tests/cluster/cluster.py start DIR`` installs what is missing (Debian, root), starts every
daemon with all its files under DIR and nothing listening beyond the loopback, and prints the line
to put ``sbatch``, ``squeue`` ... on the PATH; ``stop DIR`` ends it and removes DIR.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from string import Template

from interpsweep.store.lease import started

ETC = Path(__file__).parent / "etc"
PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server")
NEEDED = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db")
CLIENTS = ("sbatch", "srun", "squeue", "sacct", "sacctmgr", "scancel", "scontrol", "sinfo")
NODES = ("n1", "n2")
ACCOUNT = "lab"
PATIENCE = 60.0  # seconds that a daemon may take to answer
# started last, stopped first
DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", *(f"slurmd-{node}" for node in NODES))


def why_not() -> str:
    """Why a cluster cannot run here; "" if it can."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        return "a SLURM of its own needs Linux and root"
    if not address().startswith("127."):
        return (
            f"daemons listen where the host name {socket.gethostname()} points, and that is "
            f"{address() or 'nowhere'}; add `127.0.0.1 {socket.gethostname()}` to /etc/hosts"
        )
    if all(_find(name) for name in NEEDED) or shutil.which("apt-get"):
        return ""
    return f"{', '.join(NEEDED)} are not installed, and there is no apt-get to install them"


def address() -> str:
    """Where the daemons listen: what the host name resolves to."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def install() -> None:
    """Install the daemons from the distribution, without starting its services."""
    if all(_find(name) for name in NEEDED):
        return
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        for command in (["update"], ["install", "--no-install-recommends", *PACKAGES]):
            _call("apt-get", "-y", "-q", *command, env=environment)
    finally:
        if ours:
            policy.unlink()


def _call(*command: str, env: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if result.returncode:
        said = (result.stdout + result.stderr)[-2000:]
        raise RuntimeError(f"{' '.join(command)}: status {result.returncode}\n{said}")
    return result.stdout


class Cluster:
    """The daemons whose files are all under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def environment(self) -> dict[str, str]:
        """An environment whose ``sbatch``, ``squeue`` ... talk to this cluster."""
        return {**os.environ, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}"}

    def call(self, *command: str) -> str:
        """What a client command prints, for example ``call("squeue")``."""
        return _call(*command, env=self.environment)

    # ------------------------------------------------------------------ start and stop

    def start(self) -> Cluster:
        """Bring everything up; raise RuntimeError with the end of a log if something fails."""
        install()
        self._configure()
        try:
            self._run("munged", *self._munge())
            self._until("munge", lambda: (self.root / "munge.socket").exists())
            self._start_database()
            self._run("slurmdbd", "slurmdbd", "-D")
            self._until(
                "slurmdbd", lambda: self.call("sacctmgr", "-n", "list", "account") is not None
            )
            self._run("slurmctld", "slurmctld", "-D", "-i")
            for node in NODES:
                self.start_node(node)
            self._until("nodes", self.idle)
            self._add_account()
        except BaseException:
            self.stop()
            raise
        return self

    def idle(self) -> bool:
        """Whether every node is up and has nothing to do."""
        return set(self.call("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}

    def start_node(self, node: str) -> None:
        """Start a node's daemon."""
        self._run(f"slurmd-{node}", "slurmd", "-D", "-N", node)

    def kill_node(self, node: str) -> None:
        """Let a node's daemon vanish; its jobs run on, as behind a broken network."""
        self._end(f"slurmd-{node}", signal.SIGKILL)

    def stop(self) -> None:
        """End jobs and daemons and remove every file."""
        with contextlib.suppress(RuntimeError):
            for _ in range(2):  # requeued jobs too
                self.call("scancel", "--user=root")
                self.call("scancel", "--user=root", "--signal=KILL", "--full")
            self._until("the queue to empty", lambda: not self.call("squeue", "-h"))
        for name in reversed(DAEMONS):
            self._end(name, signal.SIGTERM)
        shutil.rmtree(self.root, ignore_errors=True)

    # ------------------------------------------------------------------ parts

    def _configure(self) -> None:
        self.root.mkdir(parents=True)
        # daemons that run as another user must get through
        self.root.chmod(0o755)
        ports = _free_ports(5)
        names = dict(
            zip(("ctld_port", "dbd_port", "sql_port", "n1_port", "n2_port"), ports, strict=True)
        )
        self._sql_port = names["sql_port"]
        host = socket.gethostname().split(".")[0]
        values = {**names, "root": str(self.root), "host": host, "address": address()}
        for source in ETC.iterdir():
            text = Template(source.read_text()).substitute(values)
            (self.root / source.name).write_text(text)
        (self.root / "slurmdbd.conf").chmod(0o600)
        (self.root / "state").mkdir()
        for node in NODES:
            (self.root / f"spool-{node}").mkdir()
            for number in range(2):
                device = self.root / f"{node}-gpu{number}"
                os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        # the executor plugin strips SLURM_CONF from jobs, so the clients set it themselves
        (self.root / "bin").mkdir()
        for name in CLIENTS:
            client = self.root / "bin" / name
            client.write_text(
                f'#!/bin/sh\nexec env SLURM_CONF={self.root}/slurm.conf {_find(name)} "$@"\n'
            )
            client.chmod(0o755)

    def _munge(self) -> list[str]:
        key = self.root / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = {
            "key-file": key,
            "socket": "munge.socket",
            "pid-file": "munge.pid",
            "log-file": "munge.log",
            "seed-file": "munge.seed",
        }
        return [
            "munged",
            "--force",
            "--foreground",
            *(f"--{option}={self.root / name}" for option, name in files.items()),
        ]

    def _start_database(self) -> None:
        data, where = self.root / "sql", self.root / "sql.socket"
        _call(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--user=root",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        self._run(
            "mariadbd",
            "mariadbd",
            "--no-defaults",
            f"--datadir={data}",
            "--user=root",
            f"--socket={where}",
            "--bind-address=127.0.0.1",
            f"--port={self._sql_port}",
            f"--pid-file={self.root / 'sql.pid'}",
            "--innodb-flush-log-at-trx-commit=0",
        )
        self._until("mariadbd", where.exists)
        query = "CREATE DATABASE slurm; CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'slurm'; GRANT ALL ON slurm.* TO slurm@'127.0.0.1';"
        _call("mariadb", "--no-defaults", f"--socket={where}", "-e", query)

    def _add_account(self) -> None:
        add = ("sacctmgr", "-i", "add")
        self.call(*add, "account", ACCOUNT)
        self.call(*add, "user", "root", f"account={ACCOUNT}")

    def _run(self, name: str, *command: str) -> None:
        program = _find(command[0])
        assert program is not None, command[0]
        with (self.root / f"{name}.out").open("ab") as output:
            process = subprocess.Popen(
                [program, *command[1:]],
                env={**os.environ, "SLURM_CONF": str(self.root / "slurm.conf")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                start_new_session=True,
            )
        about = {"pid": process.pid, "started": started(process.pid)}
        (self.root / f"{name}.json").write_text(json.dumps(about))

    def _end(self, name: str, number: int) -> None:
        """Signal a daemon and wait for it; a process that only inherited its number is let be."""
        try:
            about = json.loads((self.root / f"{name}.json").read_text())
        except FileNotFoundError:
            return
        for each in (number, signal.SIGKILL):
            deadline = time.monotonic() + 15
            if started(about["pid"]) == about["started"]:
                os.kill(about["pid"], each)
            while started(about["pid"]) == about["started"] and time.monotonic() < deadline:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(about["pid"], os.WNOHANG)
                time.sleep(0.1)

    def _until(self, what: str, true: Callable[[], bool]) -> None:
        wait_until(true, what, PATIENCE, self._logs)

    def _logs(self) -> str:
        found = [*self.root.glob("*.log"), *self.root.glob("*.out")]
        return "\n".join(
            f"{p.name}: {p.read_text(errors='replace')[-1500:]}" for p in sorted(found)
        )


def wait_until(
    true: Callable[[], object],
    what: str,
    seconds: float,
    about: Callable[[], str] = str,
    every: float = 0.3,
) -> None:
    """Wait until `true()`; AssertionError naming `what` after `seconds`."""
    deadline, error = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            if true():
                return
        except RuntimeError as failed:  # a daemon that does not answer yet
            error = str(failed)
        time.sleep(every)
    raise AssertionError(f"waited {seconds:.0f} s for {what}: {error}\n{about()}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def main(command: str, folder: str) -> None:
    """``start DIR`` or ``stop DIR``."""
    cluster = Cluster(Path(folder))
    if command == "stop":
        cluster.stop()
        return
    reason = why_not()
    if reason:
        sys.exit(reason)
    cluster.start()
    print(cluster.call("sinfo"), end="")
    print(f"export PATH={cluster.root}/bin:$PATH")


if __name__ == "__main__":
    main(*sys.argv[1:])
