"""Places that cannot be written: one message with the path, or another place that can be."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interpsweep.commands.run import _provide_cache
from interpsweep.errors import UserError, for_user
from interpsweep.store import Store

CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR])
def test_a_refused_place_is_one_message(number: int) -> None:
    said = for_user(OSError(number, os.strerror(number), "results/mine"))
    assert str(Path("results/mine").absolute()) in str(said) and os.strerror(number) in str(said)
    assert "start in another folder" in str(said)


def test_other_errors_are_no_users_business() -> None:
    for error in (OSError(errno.EIO, "broken", "x"), PermissionError(errno.EACCES, "no name")):
        with pytest.raises(OSError) as raised:
            for_user(error)
        assert raised.value is error
    kept = UserError("as it is")
    assert for_user(kept) is kept


@pytest.mark.parametrize("name", ["store", "results"])
def test_the_command_line_names_what_is_in_the_way(tmp_path, name: str) -> None:
    (tmp_path / name).write_text("a file where a folder has to be")  # root writes anywhere
    code = (
        "from pathlib import Path; from interpsweep import driver\n"
        "from interpsweep.cli import main, app\n"
        "@app.command('try')\n"
        "def look():\n"
        f"    driver.prepare(driver.plan_sweep([Path({str(CONFIG)!r})]))\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "try"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"interpsweep: {tmp_path / name}")


def test_caches_go_to_the_store_where_the_home_folder_is_closed(
    tmp_path, monkeypatch, capsys
) -> None:
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home"  # below a file nobody can make a folder
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CACHE_HOME", "HF_HOME"):
        monkeypatch.setenv(name, "")  # taken back afterwards
        monkeypatch.delenv(name)
    _provide_cache(Store(tmp_path / "store"))
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "store" / ".cache")
    assert os.environ["HF_HOME"] == str(home / ".cache" / "huggingface")  # to read models from
    assert f"{home / '.cache'}: cannot be written" in capsys.readouterr().out
    again = dict(os.environ)
    _provide_cache(Store(tmp_path / "store"))  # the store's own can be written: nothing to do
    assert dict(os.environ) == again
