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

A message says what came, what was expected and what to do. Every class has a `code`, which the command line shows behind the
message; `docs/errors.md` explains each.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

_LEAST_PART = 3  # letters that say enough to find a longer name by


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that somebody who wrote `name` may have meant, if any.

    >>> nearest("isolation_forrest", ["knn", "isolation_forest"])
    'isolation_forest'
    >>> nearest("fraud", ["front", "is_fraud_2"])  # the only one that holds it
    'is_fraud_2'
    """
    known, part = list(known), name.strip().casefold()
    folded = {other.strip().casefold(): other for other in known}
    if part in folded:
        return folded[part]
    holding = [other for other in known if len(part) >= _LEAST_PART and part in other.casefold()]
    if len(holding) == 1:
        return holding[0]
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


class StillwatchError(Exception):
    """Root of the tree."""

    code: ClassVar[str] = "SW00"


class InputError(StillwatchError, ValueError):
    """What the caller handed over cannot be used as it is."""

    code = "SW10"


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

    code = "SW11"

    def __init__(self, message: str, *, column: str | None = None, row: int | None = None) -> None:
        super().__init__(message)
        self.column = column
        self.row = row


class SchemaError(InputError):
    """Columns, kinds or roles do not fit."""

    code = "SW12"


class CalibrationError(InputError):
    """Too few calibration rows for the rate that was asked."""

    code = "SW13"


class StudentError(InputError):
    """A student cannot be trained or written as a graph."""

    code = "SW14"


class TeacherError(StillwatchError, ValueError):
    """A teacher failed, or its scores cannot teach."""

    code = "SW20"


class WorkerError(StillwatchError):
    """Worker processes died, again and again, on the same pieces of work.

    Parameters
    ----------
    lost
        place of each piece -> what happened.
    """

    code = "SW21"

    def __init__(self, lost: dict[int, str]) -> None:
        reason = next(iter(lost.values()), "")
        super().__init__(
            f"{len(lost):,} pieces of work were given up: {reason}. Is there enough memory? Use fewer workers, or smaller files."
        )
        self.lost = lost


class ArtifactError(StillwatchError):
    """A model folder cannot be written, read or trusted."""

    code = "SW30"


class AuditError(ArtifactError):
    """The graph holds something outside the allow-list or the limits."""

    code = "SW31"


class DigestError(ArtifactError):
    """Bytes differ from the digests that were stored or expected."""

    code = "SW32"


class ProtocolError(ArtifactError):
    """Written by a newer, or a no longer readable, version."""

    code = "SW33"


class MissingExtraError(StillwatchError, ImportError):
    """An optional dependency is not installed."""

    code = "SW40"

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Run: pip install 'stillwatch[{extra}]'")
        self.package = package
        self.extra = extra
