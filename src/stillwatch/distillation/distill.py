"""The whole way, top to bottom: rows, schema, split, features, teacher, knowledge, student, evaluation, model."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillwatch.calibration.conformal import finest_rate
from stillwatch.calibration.groups import LEAST_ROWS, Groups, calibrate_groups
from stillwatch.distillation.drawing import MOST_ROWS, Drawing, read_rows
from stillwatch.distillation.extras import check_extras
from stillwatch.distillation.fit import Fitted, Progress, asked_share, prepare, train
from stillwatch.distillation.leak import leaking_columns
from stillwatch.distillation.model import make_model, make_sketches
from stillwatch.distillation.result import Distillation, Evaluated
from stillwatch.distillation.search import Budget, Capacity
from stillwatch.distillation.split import Split, TrainOn, make_split
from stillwatch.distillation.start import Start, begin
from stillwatch.errors import InputError
from stillwatch.evaluation.health import HealthFacts, teacher_notes
from stillwatch.knowledge.extract import Map
from stillwatch.scorer import Scorer
from stillwatch.students.protocol import Student
from stillwatch.students.resolve import resolve_student
from stillwatch.students.sizes import choices
from stillwatch.table.pack import Rows
from stillwatch.table.read import Source, open_source
from stillwatch.table.schema import Schema, infer_schema
from stillwatch.teachers.protocol import Regime, Teacher
from stillwatch.teachers.resolve import resolve_teacher
from stillwatch.training.together import together

MOST_EVALUATED = 20_000


def distill(
    data: Any,
    *,
    schema: Schema | None = None,
    label: str | None = None,
    known: str | None = None,
    ignore: Iterable[str] = (),
    key: Iterable[str] = (),
    time: str | None = None,
    train_on: TrainOn = "all",
    assume_normal: bool = False,
    teacher: Any = "auto",
    purify: bool = False,
    student: str | Student = "auto",
    budget: Budget | None = None,
    start: Any = None,
    alert_rate: float = 0.01,
    calibrate_by: str | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    map: Map | None = None,
    progress: Progress | None = None,
) -> Distillation:
    """Turn a table and a heavy detector into one small model.

    Parameters
    ----------
    data
        a path, glob or list of paths (CSV, CSV.gz, Parquet), a dataframe, an Arrow table, a list of dicts, a 2-D array.
    schema
        kinds and roles of the columns; None: inferred.
    label, ignore, key
        columns in these roles. A label (1 = anomaly, 0 = normal) is used to evaluate, and by `train_on`; it is never a
        feature. Keys are copied to the scores.
    known
        column that holds 1 for a confirmed anomaly, 0 for a confirmed normal row, and nothing for all others, never a feature.
        A handful of confirmed anomalies teaches much. They always train, so they say nothing on how good the model is.
    time
        column that tells when a row happened, a timestamp or a number, feature or not. The newest rows then calibrate, as
        they will in use, instead of randomly chosen ones.
    train_on
        "all": rows may hold anomalies. "normal": only rows whose label is 0 train; the others evaluate, together with
        normal rows that were held out.
    assume_normal
        True: the caller vouches that every training row is normal, without a label.
    teacher
        a name ("auto", "knn", "lof", "isolation_forest", "gmm", "mcd", "ocsvm", "ecod", "copod", "autoencoder", "deep_svdd",
        "pyod:<Name>"), a fitted or unfitted detector, a fitted classifier, a function of the feature matrix, a `Teacher`, or a
        list of several of these.
    purify
        True: the teacher learns only from the 70 % of the rows that lie deepest. Where rows may hold anomalies, a detector that
        looks closely ("knn", "lof", "gmm") is led astray by those among its training rows. "auto" does so by itself.
    student
        a name ("auto", "mlp", "prototypes", "blend", "trees", "additive", "linear") or a `Student`.
    budget
        what the student may cost and how faithful it must be: families and sizes (of the one family, where `student` names one)
        are trained and measured, and `search` of what comes back holds them all; None: one student of the default size.
    start
        an earlier model to go on from, a folder or a `Distillation`, for new rows of the same columns and the same teacher: its
        features and the scale of its scores stay, so that thresholds compare, and its student is trained on, in a fraction
        of the time; None: all is made anew.
    alert_rate
        share of normal rows that may raise an alarm by default; it can be changed when scoring.
    calibrate_by
        column, feature or not, whose values get thresholds of their own, for `judge(by=)`: those with 100 calibration rows or
        more. Their names then stand in the model.
    seed
        decides everything random: the same data, seed and machine give the same model.
    cache
        folder for the teacher's answers, so that a rerun, or a run after a crash, asks only what is new.
    map
        who asks the teacher, the `map` of an open engine of `stillwatch.scale`; None: this process. The model is the same.
    progress
        called with (step, done, total).

    Returns
    -------
    The scorer, the fitted teacher, the knowledge and a report; `save` writes the model folder.

    Raises
    ------
    InputError
        the data, a column or an option cannot be used as it is.
    TeacherError
        the teacher failed, or cannot tell rows apart.
    StudentError
        no student keeps within the budget.
    MissingExtraError
        a package of the extra `train` is not installed.
    """
    check_extras()
    if not 0 < alert_rate < 1:
        raise InputError(
            f"alert_rate={alert_rate}: expected a share of normal rows between 0 and 1, such as 0.01."
        )
    regime: Regime = "normal" if assume_normal or train_on == "normal" else "all"
    if budget is not None and start is not None:
        raise InputError(
            "budget and start came together: a search makes every student anew. Choose one of the two."
        )
    begun = None if start is None else begin(start, student)
    if purify and regime == "normal":
        raise InputError(
            "purify came with rows that are vouched for (assume_normal, or train_on='normal'): expected one of the two. "
            "Purify where training rows may hold anomalies."
        )
    wanted_teacher = resolve_teacher(teacher, regime=regime, purify=purify)
    wanted_student = (
        begun.student
        if begun is not None
        else resolve_student(student)
        if budget is None
        else Capacity(budget, choices(student))
    )

    began = perf_counter()
    tell = progress or _silent
    source = open_source(data).watched(lambda done, total: tell("read", done, total))
    drawing = Drawing(MOST_ROWS, seed)
    if begun is not None:
        schema = begun.schema_for(source.names, schema)
    schema = _schema(source.through(drawing.watch), schema, label, known, ignore, key)
    rows, labels, confirmed, order, groups = read_rows(source, schema, time, calibrate_by, drawing)
    reading = perf_counter() - began

    split = make_split(
        len(rows), labels, train_on, rng=np.random.default_rng(seed), order=order, known=confirmed
    )
    fit = rows.take(split.fit)
    prepared = prepare(
        fit,
        schema,
        wanted_teacher,
        seed=seed,
        start=begun,
        asked=asked_share(wanted_student),
        known=None if confirmed is None else confirmed[split.fit],
        cache=cache,
        map=map,
        progress=progress,
    )
    began = perf_counter()
    fitted = train(prepared, wanted_student, seed=seed, progress=progress)
    training = perf_counter() - began

    began = perf_counter()
    evaluated = _evaluate(
        fitted, split, rows, labels, confirmed, wanted_teacher, begun, seed=seed, progress=tell
    )
    health = HealthFacts(**asdict(fitted.asker.teacher.health))
    evaluating = perf_counter() - began

    began = perf_counter()
    warnings = [*source.notes, *_leaks(fitted, rows, labels)]
    if confirmed is not None and not (confirmed == 1).any():
        warnings.append(f"no row of {schema.known!r} is a confirmed anomaly, so what is known was not used.")
    tables = _groups(calibrate_by, groups, evaluated, regime)
    if tables is not None and not tables.tables:
        warnings.append(
            f"no value of {calibrate_by!r} has {LEAST_ROWS} calibration rows, so none has thresholds of its own."
        )
    sketches = make_sketches(fitted, rows, split, evaluated)
    manifest, model = make_model(
        fitted, evaluated, fit, tables, sketches, regime=regime, alert_rate=alert_rate, seed=seed
    )
    exporting = perf_counter() - began
    if alert_rate < finest_rate(manifest.calibration):
        warnings.append(
            f"{manifest.calibration.rows:,} calibration rows support alert rates from "
            f"{manifest.alert_rate:.2g}; {alert_rate:g} is finer, so that became the default."
        )
    if fitted.search is not None and fitted.search.note:
        warnings.append(fitted.search.note)
    if begun is not None and (short := begun.shortfall(manifest.fidelity)):
        warnings.append(short)
    warnings += teacher_notes(health)
    return Distillation(
        source=source.description,
        fitted=fitted,
        split=split,
        evaluated=evaluated,
        manifest=manifest,
        model=model,
        scorer=Scorer(manifest, model),
        warnings=tuple(warnings),
        seconds={
            "read": reading,
            **fitted.seconds,
            "train student": training,
            "evaluate": evaluating,
            "export": exporting,
        },
        call={
            "time": time,
            "train_on": train_on,
            "assume_normal": assume_normal,
            "teacher": teacher if isinstance(teacher, str) else fitted.asker.teacher.name,
            "student": student if isinstance(student, str) else fitted.student.name,
            "alert_rate": alert_rate,
            "calibrate_by": calibrate_by,
            "seed": seed,
        }
        | ({"purify": True} if purify else {})
        | ({} if budget is None else {"budget": budget})
        | ({} if begun is None else {"start": f"model.onnx {begun.digest[:12]}"}),
    )


def _silent(step: str, done: int, total: int) -> None:
    """Tell nobody."""


def _schema(
    source: Source,
    schema: Schema | None,
    label: str | None,
    known: str | None,
    ignore: Iterable[str],
    key: Iterable[str],
) -> Schema:
    if schema is None:
        return infer_schema(source, label=label, known=known, ignore=ignore, key=key)
    return schema.with_roles(label=label, known=known, ignore=ignore, key=key)


def _evaluate(
    fitted: Fitted,
    split: Split,
    rows: Rows,
    labels: NDArray[np.float64] | None,
    confirmed: NDArray[np.float64] | None,
    teacher: Teacher,
    start: Start | None,
    *,
    seed: int,
    progress: Progress,
) -> Evaluated:
    """Scores of teacher and student on rows that neither was fitted on.

    With too few rows to set some aside, each fold is scored by a teacher and a student of the same family fitted on the others.
    """
    schema = fitted.features.schema
    judged, soft, scores, folds = [], [], [], []
    for number, left_out in enumerate(split.folds):
        progress("cross-fit", number, len(split.folds))
        rest = np.setdiff1d(split.fit, left_out, assume_unique=True)
        known = None if confirmed is None else confirmed[rest]
        folds.append(prepare(rows.take(rest), schema, teacher, seed=seed, start=start, known=known))
    # Never from the student to go on from: it may have seen a fold.
    fit = [partial(copy.copy(fitted.student).fit, fold.knowledge, seed=seed) for fold in folds]
    for left_out, fold, student in zip(split.folds, folds, together(fit), strict=True):
        apart = fold.learnt(student)
        judged.append(left_out)
        soft.append(apart.soften(apart.teacher_score(rows.take(left_out))))
        scores.append(apart.student_score(rows.take(left_out)))
    if split.folds:
        progress("cross-fit", len(split.folds), len(split.folds))
    calibrating = len(split.calibration) + sum(len(fold) for fold in split.folds)
    aside = np.concatenate([split.calibration, split.others])
    if len(aside):
        unseen = rows.take(aside)
        judged.append(aside)
        soft.append(fitted.soften(fitted.teacher_score(unseen)))
        scores.append(fitted.student_score(unseen))
    index = np.concatenate(judged)
    return Evaluated(
        teacher=np.concatenate(soft),
        student=np.concatenate(scores),
        labels=None if labels is None else labels[index],
        index=index,
        calibrating=calibrating,
        approximate=bool(split.folds),
        rows=rows.take(index[:MOST_EVALUATED]),
    )


def _leaks(fitted: Fitted, rows: Rows, labels: NDArray[np.float64] | None) -> Iterable[str]:
    if labels is None:
        return
    for name, auroc in leaking_columns(fitted.features, rows, labels).items():
        yield (
            f"column {name!r} alone separates the label (AUROC {auroc:.3f}): if it is made from the label, "
            "or known only afterwards, ignore it."
        )


def _groups(
    column: str | None, values: NDArray[np.object_] | None, evaluated: Evaluated, regime: Regime
) -> Groups | None:
    """Tables of the groups, from the calibration rows; None where there is no such column."""
    if column is None or values is None:
        return None
    rows = slice(0, evaluated.calibrating)
    return calibrate_groups(
        column,
        values[evaluated.index[rows]],
        evaluated.student[rows],
        approximate=evaluated.approximate,
        normal=regime == "normal",
    )
