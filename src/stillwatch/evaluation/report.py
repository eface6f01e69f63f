"""The report: one frozen record that holds everything its page, its card and the terminal show.

`report.json` is this record, so that the page can be written again from it, and so that a program can read
every figure that a person sees. Every field that may be unknown has a default that says so.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stillwatch.errors import ArtifactError
from stillwatch.evaluation.budget import BudgetLine
from stillwatch.evaluation.fallback import FallbackLine
from stillwatch.evaluation.fidelity import Fidelity
from stillwatch.evaluation.health import HealthFacts
from stillwatch.evaluation.inert import inert_json
from stillwatch.evaluation.quality import Change, Quality
from stillwatch.evaluation.series import Curve, Curves, Histogram, Scatter
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
    health: HealthFacts | None = None
    bytes: int | None = None  # of the feature matrix that it was fitted on, float32


class StudentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The student, and what it weighs."""

    name: str
    parameters: int | None = None
    bytes: int | None = None  # of model.onnx
    recipe: dict[str, Any] = {}


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One student that was tried on the way to the one that was kept."""

    family: str
    size: str  # such as "3 x 128", as it shall be read
    fidelity: float  # rank agreement with the teacher on held-out rows
    latency_us: float | None = None  # of one row
    bytes: int | None = None
    chosen: bool = False


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
    # Of normal rows, the share that alarms at `alert_rate` where calibration rows may hold anomalies; None: they hold none.
    estimated_rate: float | None = None
    table: tuple[RateThreshold, ...] = ()

    def thresholds(self) -> tuple[RateThreshold, ...]:
        """Every rate of the table and the one that was set, highest first."""
        table = {line.rate: line for line in self.table}
        table[self.alert_rate] = RateThreshold(rate=self.alert_rate, threshold=self.threshold)
        return tuple(table[rate] for rate in sorted(table, reverse=True))


class TrainingCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Rank agreement on held-out rows after some steps of training."""

    step: int
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
    digest: str = ""  # SHA-256 of model.onnx
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
    search: tuple[Candidate, ...] = ()
    fidelity: Fidelity | None = None
    fallback: tuple[
        FallbackLine, ...
    ] = ()  # what asking the teacher about rows near the threshold would gain
    student_quality: Quality | None = None
    teacher_quality: Quality | None = None
    quality_change: Change | None = None  # student minus teacher
    quality_note: str = ""  # why there is no quality, where there is none
    student_curves: Curves | None = None
    teacher_curves: Curves | None = None
    student_speed: Speed | None = None
    teacher_speed: Speed | None = None
    calibration: CalibrationFacts | None = None
    budget: tuple[BudgetLine, ...] = ()  # along the whole range of alert rates
    rows_per_second: float = 1.0  # for the alarms a day in it
    histogram: Histogram | None = None  # of the student's scores
    scatter: Scatter | None = None
    overlap: Curve | None = None  # x = share of rows in both lists of the highest, y = share in common
    checks: tuple[TrainingCheck, ...] = ()
    steps: tuple[StepTime, ...] = ()
    warnings: tuple[str, ...] = ()
    reproduction: Reproduction | None = None


def encode_report(report: Report) -> bytes:
    """Write a report as JSON that is inert wherever it is pasted or printed."""
    return inert_json(report)


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
