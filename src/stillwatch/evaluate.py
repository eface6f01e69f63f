"""How well a scorer does on labelled rows."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from stillwatch.calibration.conformal import finest_rate, threshold
from stillwatch.calibration.discovery import Discoveries
from stillwatch.errors import InputError
from stillwatch.evaluation.budget import BudgetLine, budget
from stillwatch.evaluation.quality import Quality, oracle_recall, quality, why_unmeasured
from stillwatch.scorer import Scorer
from stillwatch.table.pack import Packer
from stillwatch.table.read import open_source


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What `evaluate` found.

    Attributes
    ----------
    rows, labelled
        rows that were scored, and those of them that have a label.
    quality
        agreement with the labels, with 95 % intervals; None where `note` says why there is none.
    rate
        the alert rate that was asked for; precision, recall and the real false-alarm rate belong to it. None with `fdr`: they
        then belong to the discoveries, and recall is the power.
    discoveries
        what the alarms of this batch are worth; None without `fdr`.
    oracle_recall
        the most anomalies that any threshold could have caught at this `fdr`, known only with hindsight.
    rows_per_second, budget
        alarms a day, precision and recall along the whole range of rates. None of it is by group.
    common
        with `by`: rows that the common table judged.
    missing, unseen, ignored
        missing values and unseen categories by column, and columns the model does not use.
    """

    rows: int
    labelled: int
    quality: Quality | None
    note: str
    rate: float | None
    discoveries: Discoveries | None
    oracle_recall: float | None
    rows_per_second: float
    budget: tuple[BudgetLine, ...]
    common: int
    missing: dict[str, int]
    unseen: dict[str, int]
    ignored: tuple[str, ...]


def evaluate(
    scorer: Scorer,
    data: Any,
    *,
    label: str | None = None,
    rate: float | None = None,
    by: str | None = None,
    fdr: float | None = None,
    rows_per_second: float = 1.0,
    seed: int = 0,
) -> Evaluation:
    """Score labelled rows and compare.

    Parameters
    ----------
    data
        anything `distill` takes, with the label among its columns.
    label
        name of the label column, 1 = anomaly and 0 = normal; None: the one the model was distilled with.
    rate
        alert rate for precision and recall; None: the model's default, or the finest one it supports.
    by, fdr
        as for `Scorer.judge`.
    rows_per_second
        how many rows come in use, on average over the day, for the alarms a day.
    seed
        of the bootstrap.

    Raises
    ------
    InputError
        no label column is known, or `rows_per_second` is not above zero.
    CalibrationError
        the rate is finer than the model supports.
    SchemaError
        a column is missing, or the label holds something else.
    """
    if not 0 < rows_per_second < float("inf"):
        raise InputError(f"rows_per_second={rows_per_second}: expected a number above 0.")
    schema = scorer.manifest.schema
    if label is None and schema.label is None:
        raise InputError("The model was distilled without a label. Name the label column: label='...'.")
    known = [column.name for column in schema.columns]
    if label is not None and label not in known:
        schema = msgspec.structs.replace(
            schema,
            columns=(*schema.columns, msgspec.structs.replace(schema.columns[0], name=label, role="ignore")),
        )
    packer = Packer(schema.with_roles(label=label) if label is not None else schema)
    calibration = scorer.manifest.calibration
    if fdr is None:
        rate = max(scorer.manifest.alert_rate, finest_rate(calibration)) if rate is None else rate
        threshold(calibration, rate)  # a rate too fine is better said before any row is read
    source = open_source(data)
    verdict = scorer.judge(source, rate, by=by, fdr=fdr)
    labels = np.concatenate([packer.label(batch) for batch in source.batches()])
    return Evaluation(
        rows=len(verdict.score),
        labelled=int((~np.isnan(labels)).sum()),
        quality=quality(verdict.score, labels, alerts=verdict.alert, seed=seed),
        note=why_unmeasured(labels) or "",
        rate=rate,
        discoveries=verdict.discoveries,
        oracle_recall=None if fdr is None else oracle_recall(verdict.score, labels, fdr),
        rows_per_second=rows_per_second,
        budget=budget(
            calibration,
            verdict.score,
            labels,
            rows_per_second=rows_per_second,
            also=() if rate is None else (rate,),
        ),
        common=verdict.counts.common,
        missing=verdict.counts.missing,
        unseen=verdict.counts.unseen,
        ignored=verdict.counts.ignored,
    )
