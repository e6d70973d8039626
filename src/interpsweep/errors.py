"""The one exception for things a user can fix."""

from __future__ import annotations

import difflib
import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """Something the user can fix: the text says what is wrong, where, and the remedy.

    The command line prints it without a traceback and exits with status 2.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of `known`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, is of a full disk, quota or file size limit.

    Libraries that write without Python say so in their message only.
    """
    seen = []
    while error is not None and error not in seen:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(f"os error {number})" in str(error) for number in _FULL):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False


def no_room(place: Path, when: str = "") -> UserError:
    """What to raise when the disk of `place` is full."""
    free = shutil.disk_usage(place).free / 1e6
    return UserError(
        f"{place.absolute()}: no room left{when} ({free:,.1f} MB are free on this disk; a "
        "quota or a limit of file sizes may be lower). Nothing finished is harmed: free some space "
        "(`interpsweep gc`), then the same command goes on"
    )


_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def for_user(error: UserError | OSError) -> UserError:
    """What to tell the user: of a full disk and of a place that cannot be used, what to do.

    Raises the error itself if it is neither.
    """
    if isinstance(error, UserError):
        return error
    if disk_full(error):
        return no_room(Path())
    if error.errno in _REFUSED and error.filename is not None:
        return UserError(
            f"{Path(os.fsdecode(error.filename)).absolute()}: {error.strerror}. Sweeps write to "
            "store/, results/, logs/ and .snakemake/ of the folder that they are started in: make "
            "them writable (`ls -ld` shows whose they are), or start in another folder"
        )
    raise error


def of_the_machine(error: BaseException) -> bool:
    """Whether an error is of the machine and not of what was being made: trying again may help.

    Disks, memory, networks, a GPU, worker processes that were killed.
    """
    if isinstance(error, OSError) or disk_full(error) or out_of_memory(error):
        return True
    return type(error).__name__ in _WORKERS or "CUDA error" in str(error)


# by name: the libraries that raise these may not be imported
_WORKERS = ("BrokenProcessPool", "KilledWorker", "AcceleratorError", "CommClosedError")


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, of main memory (numpy, torch) or of a GPU's."""
    # torch's own error, by name: torch may not be imported
    return out_of_main_memory(error) or type(error).__name__ == "OutOfMemoryError"


def out_of_main_memory(error: BaseException) -> bool:
    """Whether an allocation of main memory failed (not of a GPU's)."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
