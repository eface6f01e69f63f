"""The messages of an Arrow IPC stream, looked at before Arrow reads them, to see whether their buffers are compressed.

A compressed buffer names its own size once unfolded, and Arrow allocates that. The answer stands in a flatbuffer, of which
these few offsets are followed by hand (Message.fbs: Message.header, RecordBatch.compression, DictionaryBatch.data).
"""

from __future__ import annotations

import struct

from stillwatch.errors import InputError

_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2
_CONTINUATION = 0xFFFFFFFF
_MOST_MESSAGES = 10_000


def refuse_compression(stream: bytes) -> None:
    """Raise InputError where a message of the stream is compressed, or the stream is none."""
    at = 0
    try:
        for _ in range(_MOST_MESSAGES):
            length = _u32(stream, at)
            at += 4
            if length == _CONTINUATION:
                length = _u32(stream, at)
                at += 4
            if length == 0:
                return
            if length > len(stream) - at:
                break
            compressed, body = _about(stream[at : at + length])
            if compressed:
                raise InputError("the Arrow stream is compressed. Write it without compression.")
            at += length + body
            if at == len(stream):
                return
    except (struct.error, IndexError) as exc:
        raise InputError("the body is no whole Arrow IPC stream.") from exc
    raise InputError("the body is no whole Arrow IPC stream, or has too many messages.")


def _about(message: bytes) -> tuple[bool, int]:
    """Whether a message's buffers are compressed, and how many bytes of body follow it."""
    root = _u32(message, 0)
    kind_at, header_at, length_at = (_field(message, root, number) for number in (1, 2, 3))
    body = struct.unpack_from("<q", message, length_at)[0] if length_at else 0
    if body < 0:
        raise IndexError
    kind = message[kind_at] if kind_at else 0
    if kind not in {_RECORD_BATCH, _DICTIONARY_BATCH}:
        return False, body
    batch = header_at + _u32(message, header_at)
    if kind == _DICTIONARY_BATCH:
        data = _field(message, batch, 1)
        batch = data + _u32(message, data)
    return bool(_field(message, batch, 3)), body


def _field(message: bytes, table: int, number: int) -> int:
    """Where a field of a table stands; 0 where it is left out."""
    entries = table - struct.unpack_from("<i", message, table)[0]
    if entries < 0:
        raise IndexError
    place = 4 + 2 * number
    if place >= struct.unpack_from("<H", message, entries)[0]:
        return 0
    offset = struct.unpack_from("<H", message, entries + place)[0]
    return table + offset if offset else 0


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])
