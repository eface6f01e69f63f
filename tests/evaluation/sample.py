"""A report with believable figures, for tests and for looking at the page."""

from __future__ import annotations

import numpy as np

from stillwatch import evaluation as ev
from stillwatch.calibration.conformal import calibrate
from stillwatch.calibration.conformal import threshold as threshold_at
from stillwatch.evaluation.budget import DIAL
from stillwatch.evaluation.fallback import fallback_lines


def sample_report(*, labels: bool = True, rows: int = 12_000) -> ev.Report:
    rng = np.random.default_rng(7)
    y = (rng.random(rows) < 0.03).astype(float)
    truth = rng.gamma(2.0, 0.5, rows) + y * rng.gamma(3.0, 1.0, rows)
    teacher = np.exp(truth) + rng.normal(0, 0.2, rows)
    student = np.arcsinh(truth + rng.normal(0, 0.09, rows) * (0.5 + truth / 2))
    calibration = calibrate(student[y == 0].astype(np.float32), approximate=False)
    threshold = threshold_at(calibration, 0.01)
    alerts = ev.alerts_at(student, threshold)
    teacher_alerts = ev.alerts_at(teacher, float(np.quantile(teacher[y == 0], 0.99)))
    seen = y if labels else None
    checks = np.arange(1, 31)
    curve = 0.985 - 0.4 * np.exp(-checks / 3.5) + rng.normal(0, 0.003, 30)
    table = ((0.05, 0.95), (0.02, 0.98), (0.01, 0.99), (0.005, 0.995), (0.001, 0.999))
    return ev.Report(
        title="Pump sensors, spring 2025",
        created="14 March 2025, 09:20 UTC",
        data="readings/*.parquet, 61,204 rows, 3 files",
        regime="normal",
        rows=ev.RowCounts(fit=46_210, calibration=11_552, evaluation=rows),
        columns=(
            ev.ColumnLine(name="pump", kind="category", reason="12 distinct texts"),
            ev.ColumnLine(name="pressure_in", kind="number", reason="all values are numbers"),
            ev.ColumnLine(name="pressure_out", kind="number", reason="all values are numbers, 0.4 % missing"),
            ev.ColumnLine(name="bearing_temperature", kind="number", reason="all values are numbers"),
            ev.ColumnLine(name="vibration_rms", kind="number", reason="all values are numbers"),
            ev.ColumnLine(name="in_service", kind="boolean", reason="two values: true, false"),
            ev.ColumnLine(
                name="reading_id",
                kind="number",
                role="ignore",
                reason="every value differs, like an identifier",
            ),
            ev.ColumnLine(name="failed", kind="boolean", role="label", reason="named as the label"),
        ),
        teacher=ev.TeacherFacts(
            name="kNN, four views",
            recipe={
                "name": "knn",
                "parameters": {"k": 1, "views": ["standard", "minmax", "asinh", "whitened"], "rows": 46_210},
                "versions": {"scikit-learn": "1.9.1"},
            },
        ),
        student=ev.StudentFacts(
            name="MLP, 3 × 128",
            parameters=51_841,
            bytes=214_300,
            recipe={"widths": [128, 128, 128], "activation": "relu", "checks": 30, "learning_rate": 0.002},
        ),
        knowledge=tuple(
            ev.KnowledgePart(kind=kind, rows=count)
            for kind, count in (
                ("train", 46_210),
                ("jitter", 38_000),
                ("swap", 30_500),
                ("between", 21_000),
                ("extreme", 14_200),
                ("box", 9_600),
                ("disagreement", 8_000),
            )
        ),
        fidelity=ev.fidelity(student, teacher),
        fallback=fallback_lines(
            student.astype(np.float32),
            teacher.astype(np.float32),
            threshold=threshold,
            teacher_threshold=float(np.quantile(teacher[y == 0], 0.99)),
            calibrating=rows,
        ),
        student_quality=ev.quality(student, y, alerts=alerts) if labels else None,
        teacher_quality=ev.quality(teacher, y, alerts=teacher_alerts) if labels else None,
        quality_change=ev.quality_change(student, teacher, y) if labels else None,
        quality_note="" if labels else "No label column was named, so agreement with labels is unknown.",
        student_curves=ev.curves(student, y) if labels else None,
        teacher_curves=ev.curves(teacher, y) if labels else None,
        student_speed=ev.Speed(
            one_p50_us=11.2, one_p99_us=14.9, one_calls=20_000, rows_per_second=1.62e6, batch_rows=rows
        ),
        teacher_speed=ev.Speed(
            one_p50_us=914.0, one_p99_us=1_310.0, one_calls=310, rows_per_second=2_840, batch_rows=rows
        ),
        calibration=ev.CalibrationFacts(
            rows=11_552,
            alert_rate=0.01,
            threshold=threshold,
            finest_rate=1 / 11_553,
            estimated_rate=0.0067,
            table=tuple(
                ev.RateThreshold(rate=rate, threshold=float(np.quantile(student[y == 0], q)))
                for rate, q in table
            ),
        ),
        budget=ev.budget(
            calibration,
            student,
            seen,
            rows_per_second=2.0,
            also=(*DIAL, 0.01),
        ),
        rows_per_second=2.0,
        histogram=ev.score_histogram(student, seen, threshold=threshold),
        scatter=ev.rank_scatter(student, teacher, seen),
        overlap=ev.overlap_curve(student, teacher),
        checks=tuple(
            ev.TrainingCheck(step=int(e), spearman=float(v)) for e, v in zip(checks, curve, strict=True)
        ),
        steps=tuple(
            ev.StepTime(step=step, seconds=seconds)
            for step, seconds in (
                ("read", 0.8),
                ("features", 0.5),
                ("teacher", 6.1),
                ("knowledge", 41.3),
                ("student", 58.9),
                ("calibration", 0.4),
                ("evaluation", 9.2),
                ("artifact", 1.1),
            )
        ),
        warnings=(
            "Column 'bearing_temperature' alone separates the label (AUROC 0.97): "
            "check that it is known before the failure.",
        ),
        reproduction=ev.Reproduction(
            call="stillwatch distill 'readings/*.parquet' --label failed --train-on normal "
            "--alert-rate 0.01 --seed 0 --out model/",
            seed=0,
            data_fingerprint="sha256:5f1d8e0c7b2a44d1c1c7b5d1f64f3a9d0f2f0b61a1d1d2a9d5a8a1c5f0e6b7c8",
            digest="sha256:9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab",
            versions={"stillwatch": "0.1.0", "numpy": "2.4.6", "onnxruntime": "1.32.0", "torch": "2.13.0"},
            machine="Linux x86-64, 2 cores",
        ),
    )
