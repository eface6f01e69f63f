"""A file on disk: where it is, what to call it, how its bytes become text, and what is said when it cannot be read."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from stillwatch.errors import TableError, nearest
from stillwatch.table.encoding import UTF8
from stillwatch.table.values import shown

LONGEST_LINE = 2 << 20  # bytes of one row of text; what is longer is an open quote or no table
_READ_ERRORS = (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeError, csv.Error)


@dataclass(frozen=True)
class Place:
    """A file on disk.

    Attributes
    ----------
    title
        its name in messages: the path, or "standard input".
    gzipped, encoding
        how its bytes become text.
    span
        the bytes of a text file that are meant, from and to: whole rows, without a header. None: all of it.
    """

    path: Path
    title: str
    gzipped: bool = False
    encoding: str = UTF8
    span: tuple[int, int] | None = None

    @contextmanager
    def bytes(self) -> Iterator[IO[bytes]]:
        """Open it, unpacked."""
        if self.span is not None:
            with self.arrow() as raw, io.BufferedReader(raw) as stream:
                yield stream
            return
        with gzip.open(self.path) if self.gzipped else self.path.open("rb") as stream:
            yield stream  # type: ignore[misc]

    @contextmanager
    def arrow(self) -> Iterator[Any]:
        """Open it for Arrow's readers, unpacked."""
        with pa.OSFile(str(self.path)) as raw:
            if self.span is not None:
                start, stop = self.span
                yield raw.get_stream(start, stop - start)
            elif self.gzipped:
                with pa.CompressedInputStream(raw, "gzip") as stream:
                    yield stream
            else:
                yield raw

    @contextmanager
    def text(self) -> Iterator[IO[str]]:
        """Open it as text; bytes that are not UTF-8 pass as surrogates, for the caller to find."""
        utf8 = self.encoding == UTF8
        with (
            self.bytes() as stream,
            io.TextIOWrapper(
                stream,
                encoding="utf-8-sig" if utf8 else self.encoding,
                newline="",
                errors="surrogateescape" if utf8 else "strict",
            ) as text,
        ):
            yield text

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the readers raise into one error that names the file."""
        try:
            yield
        except FileNotFoundError as exc:
            raise TableError(
                f"{self.title} does not exist{_beside(self.path)}{_address(self.title)}"
            ) from exc
        except PermissionError as exc:
            raise TableError(f"{self.title} may not be read: permission denied.") from exc
        except _READ_ERRORS as exc:
            raise TableError(f"{self.title} {self._diagnosis(exc)}") from exc

    def not_text(self, line: int | None = None) -> str:
        """Say that the bytes are not of the encoding, and what to do."""
        where = "" if line is None else f" at line {line:,}"
        if self.encoding == UTF8:
            return (
                f"is not UTF-8 text{where}. Save it in UTF-8, or declare its encoding, "
                "for example encoding='cp1252'."
            )
        return f"is not text in {self.encoding}{where}. Declare another encoding, or save it in UTF-8."

    def _diagnosis(self, exc: Exception) -> str:
        text = " ".join(str(exc).split())
        if isinstance(exc, UnicodeError) or "invalid UTF8" in text or "codec can't decode" in text:
            return self.not_text()
        if "straddling" in text:
            return f"has a row longer than {LONGEST_LINE >> 20} MB. Is a quote left open?"
        if "runcated" in text or isinstance(exc, EOFError):
            return "is truncated: it ends in the middle of its compressed data. Copy it again."
        return f"is damaged or cannot be read: {text}"


def _beside(path: Path) -> str:
    """End the sentence: with the file beside a missing one that may have been meant, or a full stop."""
    try:
        near = nearest(path.name, os.listdir(path.parent))
    except OSError:
        near = None
    return "." if near is None else f"; did you mean {shown(near)}?"


def _address(title: str) -> str:
    # A `Path` has one slash where an address has two; a single letter would be a drive.
    return " Addresses are not read: download it first." if re.match(r"[a-z0-9]{2,}:/", title) else ""
