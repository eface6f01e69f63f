"""From a distillation to its report. Speed is measured here, teacher and student in the same run."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import PurePath
from typing import Any

from stillwatch import __version__
from stillwatch.distillation.result import Distillation
from stillwatch.evaluation.budget import DIAL, budget
from stillwatch.evaluation.facts import calibration_facts
from stillwatch.evaluation.fallback import fallback_lines
from stillwatch.evaluation.fidelity import fidelity
from stillwatch.evaluation.health import HealthFacts
from stillwatch.evaluation.quality import alerts_at, quality, quality_change, why_unmeasured
from stillwatch.evaluation.report import (
    Candidate,
    ColumnLine,
    KnowledgePart,
    Report,
    Reproduction,
    RowCounts,
    StepTime,
    StudentFacts,
    TeacherFacts,
    TrainingCheck,
)
from stillwatch.evaluation.series import curves, overlap_curve, rank_scatter, score_histogram
from stillwatch.evaluation.speed import Speed, measure_speed
from stillwatch.table.pack import Rows

_TIMED_ROWS = 1_000
_PACKAGES = ("numpy", "onnxruntime", "onnx", "pyarrow", "torch", "scikit-learn")


def summarise(d: Distillation) -> Report:
    """Everything that the page, the terminal and the card show."""
    evaluated, manifest = d.evaluated, d.manifest
    calibration = calibration_facts(manifest)
    labels = evaluated.labels
    alarms = alerts_at(evaluated.student, calibration.threshold)
    teacher_threshold = evaluated.teacher_threshold(calibration.alert_rate)
    teacher_alarms = evaluated.teacher >= teacher_threshold
    by_label: dict[str, Any] = {}
    if labels is not None:
        by_label = {
            "student_quality": quality(evaluated.student, labels, alerts=alarms),
            "teacher_quality": quality(evaluated.teacher, labels, alerts=teacher_alarms),
            "quality_change": quality_change(evaluated.student, evaluated.teacher, labels),
            "student_curves": curves(evaluated.student, labels),
            "teacher_curves": curves(evaluated.teacher, labels),
        }
    student_speed, teacher_speed = _speeds(d)
    return Report(
        title=f"Anomaly model of {PurePath(d.source).name}",
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        data=d.source,
        regime=manifest.teacher["regime"],
        rows=RowCounts(
            fit=len(d.split.fit), calibration=evaluated.calibrating, evaluation=len(evaluated.student)
        ),
        columns=tuple(
            ColumnLine(name=c.name, kind=c.kind, role=c.role, reason=c.reason)
            for c in manifest.schema.columns
        ),
        teacher=TeacherFacts(
            name=d.teacher.name,
            recipe=manifest.teacher,
            health=HealthFacts(**asdict(d.teacher.health)),
            bytes=4 * len(d.split.fit) * d.knowledge.x.shape[1],
        ),
        student=StudentFacts(
            name=manifest.student["name"],
            parameters=manifest.student.get("parameters"),
            bytes=len(d.model),
            recipe=manifest.student,
        ),
        knowledge=tuple(KnowledgePart(kind=k, rows=n) for k, n in manifest.knowledge["rows"].items()),
        search=_search(d),
        fidelity=fidelity(evaluated.student, evaluated.teacher),
        fallback=fallback_lines(
            evaluated.student,
            evaluated.teacher,
            threshold=calibration.threshold,
            teacher_threshold=teacher_threshold,
            calibrating=evaluated.calibrating,
        ),
        quality_note=why_unmeasured(labels) or "",
        **by_label,
        student_speed=student_speed,
        teacher_speed=teacher_speed,
        calibration=calibration,
        budget=budget(
            manifest.calibration,
            evaluated.student,
            labels,
            rows_per_second=1.0,
            also=(*DIAL, calibration.alert_rate),
        ),
        histogram=score_histogram(evaluated.student, labels, threshold=calibration.threshold),
        scatter=rank_scatter(evaluated.student, evaluated.teacher, labels),
        overlap=overlap_curve(evaluated.student, evaluated.teacher),
        checks=tuple(TrainingCheck(step=step, spearman=value) for step, value in d.fitted.student.history),
        steps=tuple(StepTime(step=step, seconds=seconds) for step, seconds in d.seconds.items()),
        warnings=d.warnings,
        reproduction=Reproduction(
            call=d.command or _call(d),
            seed=d.call["seed"],
            data_fingerprint=manifest.knowledge["data"],
            digest=hashlib.sha256(d.model).hexdigest(),
            versions={"stillwatch": __version__, "python": platform.python_version()} | _versions(),
            machine=f"{platform.system()} {platform.machine()}",
        ),
    )


def _call(d: Distillation) -> str:
    """The Python call: of `distill`, with data, roles, and the options that are not as they come."""
    schema, options = d.manifest.schema, dict(d.call)
    given = []
    if d.function == "stillwatch.distill":
        ignored = [c.name for c in schema.columns if c.role == "ignore"]
        roles = {"label": schema.label, "known": schema.known, "key": list(schema.keys), "ignore": ignored}
        given, options = [repr(d.source)], {**roles, **options}
    given += [f"{name}={value!r}" for name, value in options.items() if value or name == "seed"]
    return f"{d.function}({', '.join(given)})"


def _search(d: Distillation) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            family=trial.family,
            size=trial.size,
            fidelity=trial.fidelity,
            latency_us=trial.latency_us,
            bytes=trial.bytes,
            chosen=trial.chosen,
        )
        for trial in (d.search.trials if d.search is not None else ())
    )


def _speeds(d: Distillation) -> tuple[Speed, Speed]:
    rows = d.evaluated.rows.take(slice(0, _TIMED_ROWS))
    records = _records(d, rows)
    x = d.fitted.features.transform(rows)
    teacher = d.teacher
    return (
        measure_speed(
            lambda i: d.scorer.score_one(records[i]), lambda: d.scorer.score_packed(rows), rows=len(rows)
        ),
        measure_speed(lambda i: teacher.score(x[i : i + 1]), lambda: teacher.score(x), rows=len(rows)),
    )


def _records(d: Distillation, rows: Rows) -> Sequence[dict[str, float | str | int]]:
    schema = d.manifest.schema
    names = (*schema.numbers, *schema.texts, *schema.times)
    parts = (rows.numbers.tolist(), rows.texts.tolist(), rows.times.tolist())
    return [dict(zip(names, (*a, *b, *c), strict=True)) for a, b, c in zip(*parts, strict=True)]


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}
