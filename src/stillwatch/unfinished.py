"""Files and folders while they are being written: hidden beside their target, and told from what a killed process left.

Each is locked by the process that writes it. The kernel takes the lock back when that process ends, however it ends, so what
can be locked has been left behind. Process numbers would not tell: containers share folders, and each counts its own.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART, OLD = "part", "old"
_LONGEST_NAME = 100  # of the target, so that a long one has room for the rest


@contextmanager
def unfinished(target: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A new hidden file or folder beside the target, locked until the block ends.

    Parameters
    ----------
    make
        makes it, and fails where something has its name already.
    """
    part, lock = _made(target, make)
    while lock is None:  # swept before it was locked
        part, lock = _made(target, make)
    try:
        yield part
    finally:
        os.close(lock)


def sweep(target: Path, remove: Callable[[Path], None], *, ending: str = PART) -> None:
    """Remove what processes that are dead left beside a target; what cannot be looked at or removed stays."""
    name = re.escape(target.name[:_LONGEST_NAME])
    with suppress(OSError):
        _sweep(target.parent, re.compile(rf"\.{name}\.[0-9a-f]{{8}}\.{ending}"), remove)


def sweep_folder(folder: Path, remove: Callable[[Path], None]) -> None:
    """The same for every target in a folder."""
    with suppress(OSError):
        _sweep(folder, re.compile(rf"\..+\.[0-9a-f]{{8}}\.{PART}"), remove)


def _sweep(folder: Path, pattern: re.Pattern[str], remove: Callable[[Path], None]) -> None:
    for name in os.listdir(folder):
        if pattern.fullmatch(name):
            with suppress(OSError), _opened(folder / name) as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder / name)


def _made(target: Path, make: Callable[[Path], None]) -> tuple[Path, int | None]:
    """The path, and its lock; no lock if it is gone again."""
    part = target.with_name(f".{target.name[:_LONGEST_NAME]}.{secrets.token_hex(4)}.{PART}")
    make(part)
    try:
        lock = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        return part, None
    with suppress(OSError):  # some network folders know no locks; nothing is swept there
        fcntl.flock(lock, fcntl.LOCK_EX)
    if os.path.exists(part):
        return part, lock
    os.close(lock)
    return part, None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield handle
    finally:
        os.close(handle)
