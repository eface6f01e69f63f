"""Standard input as a file: copied to a temporary one, since rows are read more than once."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO

from stillwatch.errors import TableError

DASH = "-"
TITLE = "standard input"


def copied() -> tuple[Path, IO[bytes]]:
    """Copy standard input to a temporary file, which is gone once the second value is closed or forgotten.

    Raises
    ------
    TableError
        it is a terminal, or closed, or the copy finds no room.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise TableError("standard input is closed. Name a file instead of '-'.")
    if sys.stdin.isatty():
        raise TableError("standard input is a terminal. Send a file into it: stillwatch ... - < rows.csv")
    try:
        held = tempfile.NamedTemporaryFile(prefix="stillwatch-")  # noqa: SIM115 - lives as long as its source
        shutil.copyfileobj(sys.stdin.buffer, held, 1 << 20)
        held.flush()
    except OSError as exc:
        raise TableError(f"standard input cannot be copied to a temporary file: {exc.strerror}.") from exc
    return Path(held.name), held
