"""Where a text file may be cut: between rows, found in one pass over its bytes."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stillwatch.table.delimited import DelimitedFile
from stillwatch.table.encoding import UTF8
from stillwatch.table.files import File
from stillwatch.table.json_lines import JsonLinesFile

_READ = 16 << 20  # bytes looked at together
_FEED, _RETURN, _QUOTE = b'\n\r"'


def spans_of(file: File, size: int) -> list[tuple[int, int]]:
    """Bytes, from and to, of pieces of about `size`, each of whole rows; empty: the file is better left whole.

    So are files that are small, packed, in another encoding than UTF-8 or with a line above the header, and those with a quote
    in the middle of a field, where counting quotes does not tell which line feeds end a row.
    """
    if not isinstance(file, DelimitedFile | JsonLinesFile):
        return []
    place = file.place
    length = place.path.stat().st_size
    if place.gzipped or place.encoding != UTF8 or length <= size:
        return []
    if isinstance(file, DelimitedFile) and file.skip:
        return []
    header = isinstance(file, DelimitedFile)
    separator = file.separator if isinstance(file, DelimitedFile) else None
    ends = []
    with place.explained(), place.path.open("rb") as stream:
        start = len(codecs.BOM_UTF8) if stream.read(3) == codecs.BOM_UTF8 else 0
        stream.seek(start)
        wanted = start if header else start + size
        for end in _row_ends(iter(lambda: stream.read(_READ), b""), start, separator):
            if end is None:
                return []
            offset, places = end
            while len(later := places[places + offset >= wanted]):
                ends.append(int(later[0]) + offset + 1)
                wanted = ends[-1] + size
    bounds = [*ends, length] if header else [start, *ends, length]
    if not ends or (header and ends[0] <= start + 2):  # begins with a blank line
        return []
    spans = [(a, b) for a, b in pairwise(bounds) if a < b]
    return spans if len(spans) > 1 else []


def _row_ends(
    blocks: Iterator[bytes], start: int, separator: str | None
) -> Iterator[tuple[int, NDArray[np.int64]] | None]:
    """Offset of each block and the line feeds in it that end a row; None where that cannot be told.

    Without a separator every line feed does. With one, those do before which the number of quotes is even, as long as every
    quote that opens a field stands at a field's start.
    """
    before = [_FEED, _RETURN, _QUOTE, ord(separator or ",")]
    quotes, last = 0, _FEED
    for block in blocks:
        found = np.frombuffer(block, np.uint8)
        feeds = np.flatnonzero(found == _FEED)
        if separator is not None:
            marks = np.flatnonzero(found == _QUOTE)
            opening = marks[quotes % 2 :: 2]
            ahead = np.where(opening > 0, found[opening - 1], last)
            if not np.isin(ahead, before).all():
                yield None
                return
            feeds = feeds[(quotes + np.searchsorted(marks, feeds)) % 2 == 0]
            quotes += len(marks)
            last = int(found[-1])
        yield start, feeds
        start += len(block)
