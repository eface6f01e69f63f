"""New thresholds for a model that is as good as ever: the graph stays, only the calibration is new."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch import __version__
from stillwatch.artifact.load import read_artifact
from stillwatch.artifact.manifest import Manifest
from stillwatch.artifact.write import check_target, write_artifact
from stillwatch.calibration.conformal import calibrate, finest_rate, threshold
from stillwatch.calibration.groups import Groups, calibrate_groups
from stillwatch.drift.sketch import sketch_scores
from stillwatch.errors import CalibrationError
from stillwatch.evaluation.budget import DIAL, budget
from stillwatch.evaluation.card import card
from stillwatch.evaluation.facts import calibration_facts, card_facts
from stillwatch.evaluation.page import render_html
from stillwatch.evaluation.quality import Quality
from stillwatch.evaluation.report import Report, decode_report, encode_report
from stillwatch.evaluation.series import score_histogram
from stillwatch.scorer import Scorer
from stillwatch.table.pack import Packer, packer_of
from stillwatch.table.read import Source, open_source


class Recalibration(msgspec.Struct, frozen=True, kw_only=True):
    """What `recalibrate` wrote.

    Attributes
    ----------
    digest, parent
        of the new model, and of the one whose graph it has; its manifest keeps the latter.
    rows
        how many rows calibrate.
    alert_rate
        the default: the one that was asked for, or the finest that so many rows support.
    threshold, threshold_before
        score from which a row raises an alarm at this rate; None where the model before did not support it.
    """

    digest: str
    parent: str
    rows: int
    alert_rate: float
    threshold: float
    threshold_before: float | None


def recalibrate(
    model: str | os.PathLike[str],
    data: Any,
    path: str | os.PathLike[str],
    *,
    alert_rate: float | None = None,
    by: str | None = None,
    expect: str | None = None,
    overwrite: bool = False,
) -> Recalibration:
    """Write a model with the same `model.onnx`, so the same scores, and thresholds from other rows.

    Parameters
    ----------
    model
        the model folder.
    data
        normal rows that the model was not distilled from, such as those of last week: anything `distill` takes. The caller
        vouches for them; where the label column is among them, rows labelled 1 are left out.
    path
        the folder to write.
    alert_rate
        default share of normal rows that may raise an alarm; None: as before.
    by
        column whose values get thresholds of their own; None: as before.
    expect
        the digest that `model` must have.
    overwrite
        replace an older model at `path`.

    Raises
    ------
    CalibrationError
        no row is left, or the rate is no share.
    SchemaError, TableError
        the rows do not fit the model.
    ArtifactError
        the model cannot be read or trusted, or the new one not written.
    MissingExtraError
        jinja2, which writes the report, is not installed.
    """
    if alert_rate is not None and not 0 < alert_rate < 1:
        raise CalibrationError(
            f"alert_rate={alert_rate}: expected a share of normal rows between 0 and 1, such as 0.01."
        )
    check_target(path, overwrite=overwrite)
    found = read_artifact(model, expect=expect)
    before, source = found.manifest, open_source(data)
    by = before.groups.column if by is None and before.groups is not None else by
    scores, normal = Scorer(before, found.model).score(source), _normal(before, source)
    scores = scores[normal]
    calibration = calibrate(scores, approximate=False, normal=True)
    manifest = msgspec.structs.replace(
        before,
        writer=__version__,
        calibration=calibration,
        groups=None if by is None else _groups(before, source, by, scores, normal),
        alert_rate=max(alert_rate or before.alert_rate, finest_rate(calibration)),
        parent=found.digest,
        sketches=msgspec.structs.replace(before.sketches, score=sketch_scores(scores)),
        files={},
    )
    report = _report(decode_report(found.report), manifest, scores)
    digest = write_artifact(
        path,
        model=found.model,
        manifest=manifest,
        report_html=render_html(report),
        report_json=encode_report(report).decode(),
        card=card(report, card_facts(manifest)),
        overwrite=overwrite,
    )
    rate = manifest.alert_rate
    supported = rate >= finest_rate(before.calibration)
    return Recalibration(
        digest=digest,
        parent=found.digest,
        rows=len(scores),
        alert_rate=rate,
        threshold=threshold(calibration, rate),
        threshold_before=threshold(before.calibration, rate) if supported else None,
    )


def _normal(manifest: Manifest, source: Source) -> NDArray[np.bool_]:
    """(n,) rows that no label calls an anomaly."""
    packer = Packer(manifest.schema)
    if manifest.schema.label not in source.names:
        return np.concatenate([np.ones(batch.num_rows, dtype=np.bool_) for batch in source.batches()])
    return np.concatenate([packer.label(batch) != 1 for batch in source.batches()])


def _groups(
    manifest: Manifest, source: Source, by: str, scores: NDArray[np.float32], normal: NDArray[np.bool_]
) -> Groups:
    reader = packer_of(manifest.schema, by, "category")
    values = np.concatenate([reader.table(batch).texts[:, 0] for batch in source.batches()])
    return calibrate_groups(by, values[normal], scores, approximate=False, normal=True)


def _report(report: Report, manifest: Manifest, scores: NDArray[np.float32]) -> Report:
    """The report of the distillation, with the alarms of the new rows."""
    calibration = calibration_facts(manifest)
    return msgspec.structs.replace(
        report,
        rows=msgspec.structs.replace(report.rows, calibration=len(scores)),
        calibration=calibration,
        budget=budget(
            manifest.calibration,
            scores,
            None,
            rows_per_second=report.rows_per_second,
            also=(*DIAL, calibration.alert_rate),
        ),
        histogram=score_histogram(scores, None, threshold=calibration.threshold),
        student_quality=_without_alarms(report.student_quality),
        teacher_quality=_without_alarms(report.teacher_quality),
        warnings=(
            f"Calibrated anew on {len(scores):,} rows: thresholds and alarms are theirs, every other figure and note is "
            f"that of the distillation. The model before was {manifest.parent}.",
            *report.warnings,
        ),
    )


def _without_alarms(quality: Quality | None) -> Quality | None:
    """Quality at no particular threshold: the one that it was measured at is gone."""
    if quality is None:
        return None
    return msgspec.structs.replace(
        quality, alerts=None, true_alerts=None, precision=None, recall=None, alert_rate=None
    )
