"""Standard input and pipes as files: copied to temporary ones, since rows are read more than once."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO

from stillwatch.errors import TableError

DASH = "-"
TITLE = "standard input"


def copied(pipe: Path | None = None) -> tuple[Path, IO[bytes]]:
    """Copy standard input, or a pipe that has a name, to a temporary file.

    Returns
    -------
    The file, and what holds it: it is gone once that is closed or forgotten.

    Raises
    ------
    TableError
        standard input is a terminal, or closed, or the copy finds no room.
    """
    if pipe is not None:
        try:
            with pipe.open("rb") as stream:
                return _copied(stream, str(pipe))
        except OSError as exc:
            raise TableError(f"{pipe} cannot be read: {exc.strerror}.") from exc
    if sys.stdin is None or sys.stdin.closed:
        raise TableError("standard input is closed. Name a file instead of '-'.")
    if sys.stdin.isatty():
        raise TableError("standard input is a terminal. Send a file into it: stillwatch ... - < rows.csv")
    return _copied(sys.stdin.buffer, TITLE)


def _copied(stream: IO[bytes], title: str) -> tuple[Path, IO[bytes]]:
    try:
        held = tempfile.NamedTemporaryFile(prefix="stillwatch-")  # noqa: SIM115 - lives as long as its source
        shutil.copyfileobj(stream, held, 1 << 20)
        held.flush()
    except OSError as exc:
        raise TableError(f"{title} cannot be copied to a temporary file: {exc.strerror}.") from exc
    return Path(held.name), held
