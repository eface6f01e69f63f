"""What people found when they looked into alarms: a file of lines for each model, as `stillwatch.join_feedback` reads them.

The file is read, changed and written whole for every word that is said, so that it may be moved away, mended or read at any time;
a lock on the folder keeps two services from writing over each other.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from stillwatch.errors import InputError, StillwatchError
from stillwatch.serve.limits import RefusedError
from stillwatch.serve.watch.recent import Alert
from stillwatch.table.feedback import KNOWN
from stillwatch.table.values import shown
from stillwatch.table.write import write_whole

MOST_LINES = 20_000
_MOST_BYTES = 64 << 20
_ROW = ("request_id", "row")  # what names a row where the model has no key columns

Line = dict[str, Any]


class FeedbackFolder:
    """The files, `MODEL.ndjson`.

    Raises
    ------
    InputError
        the folder cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise InputError(
                f"the folder {shown(str(folder), 200)} for confirmations cannot be made: {exc.strerror}. Name another."
            ) from exc
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(
                f"the folder {shown(str(folder), 200)} for confirmations cannot be written to. Name another."
            )

    def judge(self, alert: Alert, known: int | None) -> None:
        """Note what was found: 1 = an anomaly, 0 = a false alarm, None = take back what was said.

        Raises
        ------
        RefusedError
            the row has no key, the file is full or not what it was, or the disk is.
        """
        key = key_of(alert)
        if key is None:
            raise RefusedError(409, why_not(alert), "feedback")
        file = self._folder / f"{alert.model.name}.ndjson"
        with self._locked():
            lines = [line for line in _read(file) if any(line.get(name) != key[name] for name in key)]
            if known is not None:
                lines.append(_line(alert, key, known))
            if len(lines) > MOST_LINES:
                raise RefusedError(
                    409,
                    f"{file.name} holds {MOST_LINES:,} confirmations. Move it away; a new one will begin.",
                    "feedback",
                )
            try:
                if lines:
                    write_whole(file, msgspec.json.Encoder().encode_lines(lines), overwrite=True)
                else:
                    file.unlink(missing_ok=True)
            except (StillwatchError, OSError) as exc:
                raise RefusedError(
                    503, f"{file.name} cannot be written. See to its folder.", "feedback", retry_after=60
                ) from exc

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            handle = os.open(self._folder, os.O_RDONLY)
        except OSError as exc:
            raise RefusedError(
                503, "the folder of confirmations cannot be opened.", "feedback", retry_after=60
            ) from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def key_of(alert: Alert) -> Line | None:
    """What names the row: its key columns, or request and row where the model has none; None: it cannot be named."""
    columns = alert.model.manifest.schema.keys
    if not columns:
        return dict(zip(_ROW, (alert.request_id, alert.row), strict=True))
    if alert.key is None or KNOWN in columns:
        return None
    return dict(zip(columns, alert.key, strict=True))


def why_not(alert: Alert) -> str:
    """Why a row cannot be confirmed."""
    columns = ", ".join(shown(name) for name in alert.model.manifest.schema.keys)
    if KNOWN in alert.model.manifest.schema.keys:
        return (
            f"the model's key column is named {KNOWN!r}, as what is confirmed is. Distill with another name."
        )
    return f"the request did not hold the model's key ({columns}). Send it along as one more column."


def _line(alert: Alert, key: Line, known: int) -> Line:
    about = {
        "model": alert.model.name,
        "version": alert.model.version,
        "request_id": alert.request_id,
        "row": alert.row,
        "score": alert.score,
        "p_value": alert.p_value,
        "alerted_at": _stamp(alert.moment),
        "confirmed_at": _stamp(time.time()),
    }
    return {**about, **key, KNOWN: known}


def _read(file: Path) -> list[Line]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise RefusedError(
                409, f"{file.name} is too large. Move it away; a new one will begin.", "feedback"
            )
        return msgspec.json.Decoder(Line).decode_lines(file.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise RefusedError(
            409, f"{file.name} cannot be read as lines of JSON. Mend it, or move it away.", "feedback"
        ) from exc


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
