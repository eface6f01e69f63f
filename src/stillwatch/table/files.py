"""Tables in files: what a file is, by its first bytes, and one `File` for all of them."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from stillwatch.errors import SchemaError, TableError
from stillwatch.table.columnar import open_arrow, open_parquet
from stillwatch.table.delimited import may_separate, open_delimited
from stillwatch.table.disk import Place
from stillwatch.table.encoding import UTF8, UTF16, found_encoding, is_utf16, known_encoding
from stillwatch.table.json_lines import open_json_lines
from stillwatch.table.schema import refuse_duplicates
from stillwatch.table.values import shown

EXTENSIONS = (".csv", ".tsv", ".txt", ".ndjson", ".jsonl", ".parquet", ".pq", ".arrow", ".feather", ".ipc")

_GZIP, _PARQUET, _ARROW, _ARROW_STREAM = b"\x1f\x8b", b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
_SAVE_AS = "Save it as CSV in UTF-8, or as Parquet."
_FOREIGN = {
    b"PK\x03\x04": f"is a zip archive (an Excel file?). {_SAVE_AS}",
    b"\xd0\xcf\x11\xe0": f"is an old Excel file. {_SAVE_AS}",
    b"FEA1": "is a Feather file of version 1. Save it again as version 2, or as Parquet.",
    b"\x28\xb5\x2f\xfd": f"is compressed by zstd. {_SAVE_AS}",
    b"BZh": f"is compressed by bzip2. {_SAVE_AS}",
    b"\xfd7zXZ": f"is compressed by xz. {_SAVE_AS}",
    b"\x89HDF": f"is an HDF5 file. {_SAVE_AS}",
    b"\x93NUMPY": f"is a NumPy file. {_SAVE_AS}",
}
_NUMBER = re.compile(r"\s*[+-]?[0-9]*[.,]?[0-9]*\s*")
_DELIMITED, _JSON_LINES = (".csv", ".tsv"), (".ndjson", ".jsonl")


class File(Protocol):
    """One file of a table.

    Attributes
    ----------
    names
        columns, in the file's order.
    rows
        how many there are; text is not counted but estimated, and 0 means that nothing is known.
    """

    @property
    def place(self) -> Place: ...  # noqa: D102
    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def rows(self) -> int: ...  # noqa: D102

    def batches(self, size: int) -> Generator[pa.RecordBatch, None, None]:
        """Rows of the file, from its start at every call, in batches of about `size`."""


def open_file(
    path: Path, *, delimiter: str | None = None, encoding: str | None = None, title: str = ""
) -> File:
    """Recognise a file and read its column names. It may have no rows.

    Parameters
    ----------
    delimiter, encoding
        of a text file; None: found out; see `open_source`.
    title
        what to call it in messages; by default its path.

    Raises
    ------
    TableError
        it is not there, cannot be read, is of another format, or is empty.
    SchemaError
        a column name stands twice.
    """
    if "\0" in str(path):
        raise TableError(f"{shown(str(path), 200)} is no path: it holds a NUL character.")
    if path.is_dir():
        raise TableError(
            f"{path} is a directory. Hand it over alone, or name the files in it: {path / '*.csv'}."
        )
    if path.is_fifo():
        raise TableError(
            f"{path} is a pipe, which can be read only once. Save what comes out of it to a file."
        )
    place = Place(path, title or str(path), encoding=UTF8 if encoding is None else known_encoding(encoding))
    with place.explained():
        file = _recognised(place, delimiter, declared=encoding is not None)
    try:
        refuse_duplicates(file.names)
    except SchemaError as exc:
        bare = all(_NUMBER.fullmatch(name) for name in file.names)
        hint = " Is the header missing? The first line must name the columns." if bare else ""
        raise SchemaError(f"{place.title}: {exc}{hint}") from exc
    return file


def _recognised(place: Place, delimiter: str | None, *, declared: bool) -> File:
    with place.path.open("rb") as raw:
        head = raw.read(8)
    if not head:
        raise TableError(f"{place.title} is empty.")
    suffix = place.path.suffix.lower()
    if head.startswith(_PARQUET):
        return open_parquet(place)
    if suffix in {".parquet", ".pq"}:
        raise TableError(
            f"{place.title} is not a Parquet file: it begins with {head!r}, not with {_PARQUET!r}."
        )
    if head.startswith((_ARROW, _ARROW_STREAM)):
        return open_arrow(place, stream=not head.startswith(_ARROW))
    gzipped = head.startswith(_GZIP)
    if suffix == ".gz" and not gzipped:
        raise TableError(f"{place.title} is not a gzip file: it begins with {head!r}.")
    return _text_file(replace(place, gzipped=gzipped), delimiter, declared=declared)


def _text_file(place: Place, delimiter: str | None, *, declared: bool) -> File:
    with place.bytes() as stream:
        start = stream.read(1 << 16)
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            raise TableError(f"{place.title} {what}")
    if place.encoding == UTF8:
        if is_utf16(start):
            place = replace(place, encoding=UTF16)
        elif b"\0" in start:
            raise TableError(f"{place.title} is not text: it holds NUL bytes. {_SAVE_AS}")
    if delimiter is None and _is_json(place, start):
        return open_json_lines(place)
    if place.encoding == UTF8 and not declared:  # JSON is UTF-8 by its own rule
        with place.bytes() as stream:
            place = replace(place, encoding=found_encoding(stream))
    return open_delimited(place, start, _checked(delimiter))


def _is_json(place: Place, start: bytes) -> bool:
    """Whether a text file is NDJSON: by its name, or without one that says, by its first character."""
    suffixes = [suffix.lower() for suffix in place.path.suffixes if suffix.lower() != ".gz"]
    last = suffixes[-1] if suffixes else ""
    if last in _DELIMITED or last in _JSON_LINES:
        return last in _JSON_LINES
    text = start.decode(place.encoding, errors="replace").lstrip("\ufeff \t\r\n")
    return text.startswith(("{", "["))


def _checked(delimiter: str | None) -> str | None:
    if delimiter is not None and not may_separate(delimiter):
        raise TableError(
            f"delimiter {shown(delimiter)}: expected one ASCII character, such as ',', ';', '|' or a tab."
        )
    return delimiter
