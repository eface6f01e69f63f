"""The unit of work: a piece of one file. A plan lists the pieces of all files, in order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from stillwatch.errors import InputError, TableError
from stillwatch.scale.spans import spans_of
from stillwatch.table.columnar import ParquetFile
from stillwatch.table.files import File, open_file
from stillwatch.table.folder import with_keys
from stillwatch.table.read import paths_of
from stillwatch.table.standard_input import DASH

ROWS = 1 << 19
"""Rows of a shard; a row group that holds more stays whole."""
BYTES = 64 << 20
"""Bytes of a shard of a text file."""

_TAIL = 1 << 16  # where a Parquet file tells what it holds


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a file.

    Attributes
    ----------
    part
        name of the file that its results go to: the file's and the piece's number.
    path
        absolute, so that it means the same to every worker.
    folder
        folder whose `key=value` folders become columns.
    groups
        first row group of a Parquet file, and the one after the last.
    encoding
        of a text file; None: the file could not be opened when the plan was made.
    span
        bytes of a text file, from and to.
    first_row
        number of its first row, for messages; in a span rows are counted from its start.
    rows
        how many; None: not known before they are read.
    size
        bytes on disk, roughly.
    stamp
        digest of the file's size, its time of change and its last bytes.
    """

    part: str
    path: str
    folder: str | None = None
    encoding: str | None = None
    groups: tuple[int, int] | None = None
    span: tuple[int, int] | None = None
    first_row: int = 1
    rows: int | None = None
    size: int = 0
    stamp: str = ""

    @property
    def digest(self) -> str:
        """What the piece holds, wherever its file lies; another digest is other work."""
        place = None if self.folder is None else os.path.relpath(self.path, self.folder)
        return hashlib.sha256(msgspec.json.encode([self.stamp, self.groups, self.span, place])).hexdigest()

    @property
    def title(self) -> str:
        """What to call it in messages."""
        return self.path if self.span is None else f"{self.path} (from byte {self.span[0]:,})"


def plan(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> list[Shard]:
    """The shards of all files, in order. It depends on the files alone, not on who will work on them.

    Parquet files are cut between row groups, plain text files in UTF-8 between rows; others are one shard each. A file
    that cannot be read is one, too: what is wrong with it shows in its turn, and the others are worked on.

    Parameters
    ----------
    data
        a path, a glob, a folder or a list of paths.
    delimiter, encoding
        of text files; see `open_source`.

    Raises
    ------
    TableError
        nothing matches, or `data` is something else.
    """
    places = None if data == DASH else paths_of(data)
    if places is None:
        what = "standard input" if data == DASH else f"an object of type {type(data).__name__}"
        raise TableError(f"{what} came; shards are cut from files. Name files, a glob or a folder.")
    shards = []
    for number, (path, folder) in enumerate(places):
        whole = Shard(
            part="",
            path=os.path.abspath(path),
            folder=None if folder is None else os.path.abspath(folder),
            encoding=encoding,
            stamp=_stamp(path),
        )
        try:
            file = open_file(path, delimiter=delimiter, encoding=encoding)
            pieces = list(_pieces(msgspec.structs.replace(whole, encoding=file.place.encoding), file))
        except InputError:
            pieces = [whole]
        shards += [
            msgspec.structs.replace(piece, part=f"part-{number:05}-{place:05}.parquet")
            for place, piece in enumerate(pieces)
        ]
    return shards


def open_shard(shard: Shard, columns: Sequence[str], *, delimiter: str | None = None) -> tuple[File, File]:
    """Open a piece of a file, of which `columns` will be read.

    Returns
    -------
    The piece with all columns, and with no others than these where the format allows it.

    Raises
    ------
    TableError
        it cannot be read, or is not what it was when the plan was made.
    """
    file: Any = open_file(Path(shard.path), delimiter=delimiter, encoding=shard.encoding, title=shard.title)
    check_unchanged(shard)
    if shard.span is not None:
        file = replace(file, place=replace(file.place, span=shard.span))
    if shard.groups is not None:
        file = replace(file, groups=range(*shard.groups))
    folder = None if shard.folder is None else Path(shard.folder)
    whole = file if folder is None else with_keys(file, folder)
    if not isinstance(file, ParquetFile):
        return whole, whole
    narrow = replace(file, names=tuple(name for name in file.names if name in columns))
    return whole, narrow if folder is None else with_keys(narrow, folder)


def check_unchanged(shard: Shard) -> None:
    """Raise TableError where a file is not what it was when the plan was made."""
    if _stamp(Path(shard.path)) != shard.stamp:
        raise TableError(f"{shard.path} changed while it was being read. Run again when it rests.")


def _stamp(path: Path) -> str:
    """Digest of what tells that a file changed, "" for one that is not there."""
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            file.seek(max(0, about.st_size - _TAIL))
            tail = file.read(_TAIL)
    except OSError:
        return ""
    return hashlib.sha256(f"{about.st_size} {about.st_mtime_ns} ".encode() + tail).hexdigest()


def _pieces(whole: Shard, file: File) -> Iterator[Shard]:
    size = file.place.path.stat().st_size
    if isinstance(file, ParquetFile):
        with file.place.explained():
            metadata = pq.read_metadata(file.place.path)
            rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        before = [0, *accumulate(rows)]
        for start, stop in _grouped(rows):
            number = before[stop] - before[start]
            yield msgspec.structs.replace(
                whole,
                groups=(start, stop),
                first_row=before[start] + 1,
                rows=number,
                size=size * number // max(1, before[-1]),
            )
        return
    spans = spans_of(file, BYTES)
    if not spans:
        yield msgspec.structs.replace(whole, size=size)
    for start, stop in spans:
        yield msgspec.structs.replace(whole, span=(start, stop), size=stop - start)


def _grouped(rows: list[int]) -> Iterator[tuple[int, int]]:
    """Runs of row groups that hold at most `ROWS` rows together, or are one; one empty run where there is none."""
    start, held = 0, 0
    for stop, number in enumerate(rows):
        if held and held + number > ROWS:
            yield start, stop
            start, held = stop, 0
        held += number
    yield start, len(rows)
