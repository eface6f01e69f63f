"""Small files into a folder, each whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from stillwatch.errors import InputError
from stillwatch.table.write import write_whole


def write_files(folder: str | os.PathLike[str], files: Mapping[str, bytes], *, overwrite: bool) -> None:
    """Write files in their order, so that the last one says that all are there; missing folders are made.

    Raises
    ------
    InputError
        a file exists, or the folder cannot be made or written to.
    """
    target = Path(folder)
    standing = [name for name in files if os.path.lexists(target / name)]
    if standing and not overwrite:
        raise InputError(
            f"{target / standing[0]} exists. Choose another folder, or replace it by overwrite=True (--overwrite)."
        )
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"{target} cannot be made a folder: {exc.strerror}.") from exc
    for name, data in files.items():
        write_whole(target / name, data, overwrite=overwrite)
