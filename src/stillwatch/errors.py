"""Every error that Stillwatch raises on purpose.

::

    StillwatchError
    ├── InputError             also ValueError: what the caller handed over cannot be used as it is
    │   ├── TableError         a source cannot be read, or holds a value that its column cannot
    │   ├── SchemaError        columns, kinds or roles do not fit
    │   ├── CalibrationError   too few calibration rows for the rate that was asked
    │   └── StudentError       a student cannot be trained or written as a graph
    ├── WorkerError            worker processes died, again and again, on the same pieces of work
    ├── TeacherError           also ValueError: a teacher failed, or its scores cannot teach
    ├── ArtifactError          a model folder cannot be written, read or trusted
    │   ├── AuditError         the graph holds something outside the allow-list or the limits
    │   ├── DigestError        bytes differ from the digests that were stored or expected
    │   └── ProtocolError      written by a newer, or a no longer readable, version
    └── MissingExtraError      also ImportError: an optional dependency is not installed

A message says what came, what was expected and what to do.
"""

from __future__ import annotations


class StillwatchError(Exception):
    """Root of the tree."""


class InputError(StillwatchError, ValueError):
    """What the caller handed over cannot be used as it is."""


class TableError(InputError):
    """A source cannot be read, or holds a value that its column cannot.

    Parameters
    ----------
    message
        What came, what was expected, what to do.
    column
        Name of the column, where one is to blame.
    row
        Row number, counted from 1 without the header, where one is to blame.
    """

    def __init__(self, message: str, *, column: str | None = None, row: int | None = None) -> None:
        super().__init__(message)
        self.column = column
        self.row = row


class SchemaError(InputError):
    """Columns, kinds or roles do not fit."""


class CalibrationError(InputError):
    """Too few calibration rows for the rate that was asked."""


class StudentError(InputError):
    """A student cannot be trained or written as a graph."""


class TeacherError(StillwatchError, ValueError):
    """A teacher failed, or its scores cannot teach."""


class WorkerError(StillwatchError):
    """Worker processes died, again and again, on the same pieces of work.

    Parameters
    ----------
    lost
        place of each piece -> what happened.
    """

    def __init__(self, lost: dict[int, str]) -> None:
        reason = next(iter(lost.values()), "")
        super().__init__(
            f"{len(lost):,} pieces of work were given up: {reason}. Is there enough memory? Use fewer workers, or smaller files."
        )
        self.lost = lost


class ArtifactError(StillwatchError):
    """A model folder cannot be written, read or trusted."""


class AuditError(ArtifactError):
    """The graph holds something outside the allow-list or the limits."""


class DigestError(ArtifactError):
    """Bytes differ from the digests that were stored or expected."""


class ProtocolError(ArtifactError):
    """Written by a newer, or a no longer readable, version."""


class MissingExtraError(StillwatchError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Run: pip install 'stillwatch[{extra}]'")
        self.package = package
        self.extra = extra
