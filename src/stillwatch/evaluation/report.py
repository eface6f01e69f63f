"""The report: one frozen record that holds everything its page, its card and the terminal show.

`report.json` is this record, so that the page can be written again from it, and so that a program can read
every figure that a person sees. Every field that may be unknown has a default that says so.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
import numpy as np

from stillwatch.errors import ArtifactError
from stillwatch.evaluation.fidelity import Fidelity
from stillwatch.evaluation.quality import Change, Quality
from stillwatch.evaluation.series import Curves, Histogram, Scatter
from stillwatch.evaluation.speed import Speed


class RowCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows served which purpose."""

    fit: int | None = None
    calibration: int | None = None
    evaluation: int | None = None


class ColumnLine(msgspec.Struct, frozen=True, kw_only=True):
    """A column as it was read, and why."""

    name: str
    kind: str
    role: str = "feature"
    reason: str = ""


class TeacherFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The teacher, and the recipe that refits it."""

    name: str
    recipe: dict[str, Any] = {}


class StudentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The student, and what it weighs."""

    name: str
    parameters: int | None = None
    bytes: int | None = None  # of model.onnx
    recipe: dict[str, Any] = {}


class KnowledgePart(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of one kind the teacher was asked about."""

    kind: str
    rows: int


class RateThreshold(msgspec.Struct, frozen=True, kw_only=True):
    """The score at which a share of normal rows raises an alarm."""

    rate: float
    threshold: float


class CalibrationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the alarm threshold comes from."""

    rows: int
    alert_rate: float
    threshold: float
    finest_rate: float | None = None  # the smallest alert rate that so many rows can support
    approximate: bool = False  # from folds rather than from rows that nothing was fitted on
    table: tuple[RateThreshold, ...] = ()

    def thresholds(self) -> tuple[RateThreshold, ...]:
        """Every rate of the table and the one that was set, highest first."""
        table = {line.rate: line for line in self.table}
        table[self.alert_rate] = RateThreshold(rate=self.alert_rate, threshold=self.threshold)
        return tuple(table[rate] for rate in sorted(table, reverse=True))


class EpochFidelity(msgspec.Struct, frozen=True, kw_only=True):
    """Rank agreement on held-out rows after an epoch of training."""

    epoch: int
    spearman: float


class StepTime(msgspec.Struct, frozen=True, kw_only=True):
    """How long one step of the way took."""

    step: str
    seconds: float


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to get the same model again."""

    call: str = ""  # the command or the Python call
    seed: int | None = None
    data_fingerprint: str = ""
    digest: str = ""
    versions: dict[str, str] = {}
    machine: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the report shows."""

    title: str = "Distillation report"
    created: str = ""  # date and time, as it shall be read
    data: str = ""  # what the rows are, for people
    regime: Literal["normal", "all"] = "all"  # rows that trained: normal ones only, or all
    rows: RowCounts = RowCounts()
    columns: tuple[ColumnLine, ...] = ()
    teacher: TeacherFacts | None = None
    student: StudentFacts | None = None
    knowledge: tuple[KnowledgePart, ...] = ()
    fidelity: Fidelity | None = None
    student_quality: Quality | None = None
    teacher_quality: Quality | None = None
    quality_change: Change | None = None  # student minus teacher
    quality_note: str = ""  # why there is no quality, where there is none
    student_curves: Curves | None = None
    teacher_curves: Curves | None = None
    student_speed: Speed | None = None
    teacher_speed: Speed | None = None
    calibration: CalibrationFacts | None = None
    histogram: Histogram | None = None  # of the student's scores
    scatter: Scatter | None = None
    epochs: tuple[EpochFidelity, ...] = ()
    steps: tuple[StepTime, ...] = ()
    warnings: tuple[str, ...] = ()
    reproduction: Reproduction | None = None


def encode_report(report: Report) -> bytes:
    """Write a report as JSON that is inert wherever it is pasted or printed.

    Signs that mean something to HTML or to a terminal leave escaped: any JSON reader gets the same text back.
    """
    text = msgspec.json.encode(_whole(msgspec.to_builtins(report, enc_hook=_plain_value))).decode()
    return _ACTIVE.sub(_escaped, msgspec.json.format(text, indent=1)).encode() + b"\n"


def decode_report(data: bytes) -> Report:
    """Read a report that `encode_report` wrote.

    Raises
    ------
    ArtifactError
        The bytes are no report.
    """
    try:
        return msgspec.json.decode(data, type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ArtifactError(f"report.json is not a report that this version can read: {exc}.") from exc


# In JSON these stand inside strings only. Delete and C1 controls reach terminals, bidirectional overrides
# turn text around, line separators end a line of JavaScript.
_ACTIVE = re.compile("[<>&\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def _whole(value: Any) -> Any:
    """Replace lone surrogates, which a file name may bring along and UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return value


def _plain_value(value: Any) -> Any:
    """Turn what a recipe may hold into JSON: a NumPy number into a number, anything foreign into its text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
