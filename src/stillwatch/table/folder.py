"""A folder of files as one table; `key=value` folders, as Hive and Spark write them, become columns."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from stillwatch.errors import TableError
from stillwatch.table.disk import Place
from stillwatch.table.files import EXTENSIONS, File

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class PartFile:
    """A file with the values that its folders' names give to all of its rows.

    Attributes
    ----------
    keys
        column -> value, None = missing.
    """

    file: File
    keys: dict[str, str | None]

    @property
    def place(self) -> Place:
        """Where the file is."""
        return self.file.place

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the file, then those of its folders."""
        return (*self.file.names, *self.keys)

    @property
    def rows(self) -> int:
        """Rows of the file, about."""
        return self.file.rows

    def batches(self, size: int) -> Generator[pa.RecordBatch, None, None]:
        """Rows of the file, with the same value in each of the folders' columns."""
        for batch in self.file.batches(size):
            columns = [pa.repeat(pa.scalar(v, pa.string()), batch.num_rows) for v in self.keys.values()]
            yield pa.RecordBatch.from_arrays([*batch.columns, *columns], names=list(self.names))


def files_in(folder: Path) -> list[Path]:
    """Files of a folder and of the folders in it, sorted, that hold a table by their name or have no extension.

    Names that begin with "." or "_" are passed over, as Hive and Spark have it.

    Raises
    ------
    TableError
        there is none, or the folder may not be read.
    """

    def refuse(exc: OSError) -> None:
        raise TableError(f"{folder} may not be read: {exc.strerror}.") from exc

    found = []
    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        found += [Path(where, name) for name in sorted(names) if _holds_table(name)]
    if not found:
        raise TableError(
            f"{folder} is a folder without any file that holds a table: {', '.join(EXTENSIONS)}."
        )
    return found


def with_keys(file: File, folder: Path) -> File:
    """Add the columns that the folders between `folder` and the file name; the file's own come first."""
    keys = {}
    for part in file.place.path.relative_to(folder).parts[:-1]:
        name, equals, value = part.partition("=")
        if equals and (name := unquote(name)) not in file.names:
            keys[name] = None if value == _NO_VALUE else unquote(value)
    return PartFile(file, keys) if keys else file


def _holds_table(name: str) -> bool:
    if name.startswith((".", "_")):
        return False
    stem = name.lower().removesuffix(".gz")
    return "." not in stem or stem.endswith(EXTENSIONS)
