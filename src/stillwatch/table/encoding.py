"""Encodings of text files: what a name means, and what a file without one is in."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable
from functools import partial
from typing import IO

from stillwatch.errors import TableError
from stillwatch.table.values import shown

UTF8, UTF16, WESTERN = "utf-8", "utf-16", "cp1252"

_BLOCK = 1 << 20  # bytes looked at together
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Bytes that no text in cp1252 holds: it has no sign for five of them, the others are controls.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f\x81\x8d\x8f\x90\x9d]")
_ASTRAY, _WHOLE = "[\udc80-\udcff]+", "[^\0-\x7f\udc80-\udcff]+"


def known_encoding(name: str) -> str:
    """Python's name of a text encoding.

    Raises
    ------
    TableError
        there is none of this name.
    """
    try:
        "".encode(name)
        found = codecs.lookup(name).name
    except (LookupError, ValueError, UnicodeError) as exc:
        raise TableError(
            f"encoding {shown(name)} is unknown. Usual ones are 'utf-8', 'utf-16', 'cp1252' and 'latin-1'."
        ) from exc
    return UTF8 if found == "utf-8-sig" else found


def is_utf16(start: bytes) -> bool:
    """Whether a file begins with the mark of UTF-16, as Excel writes "Unicode text"."""
    return start.startswith(_UTF16_MARKS)


def found_encoding(stream: IO[bytes]) -> str:
    """UTF-8, or cp1252, in which the older half of the West saved its tables; ISO 8859-1 is part of it.

    Judged by the first megabyte that is not ASCII. Letters of cp1252 hardly ever make letters of UTF-8 by chance, so the more
    frequent of the two decides; where both occur, UTF-8 with a broken byte is found out, not turned into wrong letters.

    Parameters
    ----------
    stream
        the bytes of the file, unpacked, from its start. It is read as far as it is ASCII, a block at a time.
    """
    block = next((block for block in iter(partial(stream.read, _BLOCK), b"") if not block.isascii()), b"")
    more = stream.read(_BLOCK)
    decoder = codecs.getincrementaldecoder(UTF8)("surrogateescape")
    text = decoder.decode(block + more, final=len(more) < _BLOCK)
    return (
        WESTERN
        if _count(_ASTRAY, text) > _count(_WHOLE, text) and not _NO_TEXT.search(block + more)
        else UTF8
    )


def guess_told(files: Iterable[tuple[str, str | None]], declared: str | None) -> tuple[str, ...]:
    """What is said about files, each a title and its encoding, that were found to be in cp1252 where nothing was declared."""
    titles = [title for title, encoding in files if declared is None and encoding == WESTERN]
    if not titles:
        return ()
    name = os.path.basename(titles[0])  # a schema or a report that is handed on tells of no folders
    more = f", nor are {len(titles) - 1:,} more files" if len(titles) > 1 else ""
    advice = "If letters look wrong, declare the encoding."
    return (f"{name} is not UTF-8{more}: read as {WESTERN} (Western European). {advice}",)


def _count(pattern: str, text: str) -> int:
    return sum(map(len, re.findall(pattern, text)))
