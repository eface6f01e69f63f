"""Points in time as int64 microseconds in UTC, whatever they came as.

The rules stand in the docstring of `table.pack`. The time zone and the locale of the machine play no part: a zone is used only
where the schema names one, and comes from the `zoneinfo` database.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

MISSING_TIME = -(2**63)
FIRST_TIME, LAST_TIME = -(2**63) + 1, 2**63 - 1
SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND

Times = NDArray[np.int64]

_EPOCH = dt.date(1970, 1, 1).toordinal()
_ISO = re.compile(
    r"(\d{4})([-/])(\d\d)\2(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?: ?(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?))?)?",
    re.ASCII,
)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
# What Arrow reads exactly as `time_of_text` does, and much faster.
_LOCAL = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"
_WITH_ZONE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][01][0-9]:[0-5][0-9])$"
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def time_of_text(text: str, zone: str = "") -> int | None:
    """Microseconds of trimmed text: ISO 8601, year first with dashes or slashes, or a whole number; None: neither."""
    if _WHOLE.fullmatch(text):
        # More digits than this are out of range anyway, and Python takes long over many.
        return clipped(int(text)) if len(text) < 30 else (FIRST_TIME if text[0] == "-" else LAST_TIME)
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year, _, month, day, hour, minute, second, fraction, _, sign, hours, minutes = found.groups(default="0")
    try:
        when = dt.datetime(int(year), int(month), int(day), int(hour), int(minute), int(second))
    except ValueError:
        return None
    local = _microseconds(when) + int(fraction[:6].ljust(6, "0"))
    if sign == "0":
        return local if found[9] else int(to_utc(np.array([local]), zone)[0])
    if int(hours) > 23 or int(minutes) > 59:
        return None
    offset = (int(hours) * 60 + int(minutes)) * 60 * SECOND
    return local - offset if sign == "+" else local + offset


def time_of_object(value: dt.date | np.datetime64, zone: str = "") -> int:
    """Microseconds of a date, a datetime or a datetime64; without a zone of its own, `zone` holds."""
    if isinstance(value, np.datetime64):
        return int(to_utc(value.astype("datetime64[us]").astype(np.int64).reshape(1), zone)[0])
    if not isinstance(value, dt.datetime):
        return int(to_utc(np.array([(value.toordinal() - _EPOCH) * DAY]), zone)[0])
    local = _microseconds(value) + value.microsecond
    offset = value.utcoffset()
    if offset is None:
        return int(to_utc(np.array([local]), zone)[0])
    return local - offset // dt.timedelta(microseconds=1)


def clipped(value: int) -> int:
    """Keep a whole number of microseconds in the range; INT64_MIN itself means missing."""
    return min(max(value, FIRST_TIME), LAST_TIME) if value != MISSING_TIME else MISSING_TIME


def is_temporal(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds points in time."""
    return bool(pt.is_timestamp(kind) or pt.is_date(kind))


def times_of_temporal(array: pa.Array, zone: str = "") -> Times:
    """(n,) microseconds of an Arrow column of timestamps or dates; null = missing."""
    kind = array.type
    if pt.is_timestamp(kind):
        raw, per_second = _int64(array), _PER_SECOND[kind.unit]
    elif pt.is_date32(kind):
        raw, per_second = _int64(pc.cast(array, pa.int32())), 0
    else:
        raw, per_second = _int64(array), 1_000
    if per_second > SECOND:
        found = np.floor_divide(raw, per_second // SECOND)
    else:
        factor = SECOND // per_second if per_second else DAY
        found = np.clip(raw, FIRST_TIME // factor + 1, LAST_TIME // factor) * factor
    if not (pt.is_timestamp(kind) and kind.tz):
        found = to_utc(found, zone)
    found[array.is_null().to_numpy(zero_copy_only=False)] = MISSING_TIME
    return found


def times_of_texts(texts: pa.Array, zone: str = "") -> Times | None:
    """(n,) microseconds of trimmed text of one usual form, null = missing; None: it takes `time_of_text`."""
    present = texts.drop_null()
    for form, kind in ((_LOCAL, pa.timestamp("us")), (_WITH_ZONE, pa.timestamp("us", "UTC"))):
        if pc.all(pc.match_substring_regex(present, form), min_count=0).as_py():
            if pc.any(pc.starts_with(present, "0000"), min_count=0).as_py():  # no year that Python has
                return None
            try:
                return times_of_temporal(pc.cast(texts, kind), zone)
            except pa.ArrowInvalid:
                return None
    return None


def to_utc(local: Times, zone: str) -> Times:
    """Local microseconds of a zone to UTC; the first of two where clocks go back, and as if they had not yet gone forward."""
    if zone in {"", "UTC"}:
        return local
    seconds, back = np.unique(np.floor_divide(local, SECOND), return_inverse=True)
    found = zone_of(zone)
    offsets = np.array([_offset(int(second), found) for second in seconds], dtype=np.int64)
    shift = offsets[back] * SECOND
    room = np.where(shift > 0, local >= FIRST_TIME + shift, local <= LAST_TIME + np.minimum(shift, 0))
    moved: Times = np.where((local == MISSING_TIME) | ~room, local, local - np.where(room, shift, 0))
    return moved


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo:
    """Zone of a name such as "Europe/Zurich".

    Raises
    ------
    ValueError
        there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError) as exc:
        raise ValueError(name) from exc


_SAFE = dt.timedelta(days=2)  # offsets are less, so no date steps out of Python's range
_LOWEST = (dt.datetime.min + _SAFE - dt.datetime(1970, 1, 1)) // dt.timedelta(seconds=1)
_HIGHEST = (dt.datetime.max - _SAFE - dt.datetime(1970, 1, 1)) // dt.timedelta(seconds=1)


def _offset(second: int, zone: ZoneInfo) -> int:
    local = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=min(max(second, _LOWEST), _HIGHEST))
    offset = local.replace(tzinfo=zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def _microseconds(when: dt.datetime) -> int:
    """Since 1970, without the part of a second."""
    return (
        (when.toordinal() - _EPOCH) * 86_400 + when.hour * 3_600 + when.minute * 60 + when.second
    ) * SECOND


def _int64(array: pa.Array) -> NDArray[np.int64]:
    """Values of a column of whole numbers or instants; 0 where null."""
    plain = pc.cast(array, pa.int64()).fill_null(0)
    return np.array(plain.to_numpy(zero_copy_only=False), dtype=np.int64)


def times_of_numbers(values: Any) -> tuple[Times, NDArray[np.bool_]]:
    """(n,) microseconds of whole numbers (NaN = missing), and which are none."""
    if values.dtype.kind == "u":
        return np.minimum(values, LAST_TIME).astype(np.int64), np.zeros(len(values), dtype=np.bool_)
    if values.dtype.kind == "i":
        return values.astype(np.int64), np.zeros(len(values), dtype=np.bool_)
    values = values.astype(np.float64)  # the bounds below are no smaller float's
    missing = np.isnan(values)
    whole = np.isfinite(values) & (values == np.floor(np.where(missing, 0, values)))
    # 2^63 - 1024 is the largest float64 that an int64 holds.
    safe = np.where(whole, np.clip(values, -(2.0**63) + 1024, 2.0**63 - 1024), 0).astype(np.int64)
    return np.where(missing, MISSING_TIME, safe), ~whole & ~missing
