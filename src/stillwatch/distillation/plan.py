"""What `distill` would do with a table, without doing it."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np

from stillwatch.calibration.groups import LEAST_ROWS
from stillwatch.distillation.drawing import MOST_ROWS, Drawing, read_rows
from stillwatch.distillation.split import TrainOn, make_split
from stillwatch.table.read import Source
from stillwatch.table.schema import Schema


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows of a table would be used.

    Attributes
    ----------
    rows, read
        rows of the table; those that would be used, a uniform sample where there are very many.
    fit
        rows that features, teacher and student are fitted on.
    calibration
        rows set aside for the thresholds; 0 where folds of the fit rows take turns.
    approximate
        the thresholds come from folds, since there are too few rows to set some aside.
    evaluating
        labelled anomalies that would not train, and evaluate.
    anomalies, normal
        rows by label; None where there is no label.
    confirmed
        confirmed anomalies; None where nothing is known.
    unused
        rows that neither fit, calibrate nor evaluate: under train_on="normal" those without a label.
    finest_rate
        the smallest alert rate that the calibration rows support.
    groups
        values of the column to calibrate by that would get thresholds of their own; None where none was asked for.
    """

    rows: int
    read: int
    fit: int
    calibration: int
    approximate: bool
    evaluating: int
    anomalies: int | None
    normal: int | None
    confirmed: int | None
    unused: int
    finest_rate: float
    groups: tuple[str, ...] | None


def plan(
    source: Source,
    schema: Schema,
    *,
    time: str | None = None,
    train_on: TrainOn = "all",
    calibrate_by: str | None = None,
    seed: int = 0,
) -> Plan:
    """Read a table and split it as `distill` would, with the same options.

    Raises
    ------
    InputError
        what `distill` would refuse before it fits anything.
    """
    total = sum(batch.num_rows for batch in source.batches())
    rows, labels, confirmed, order, values = read_rows(
        source, schema, time, calibrate_by, Drawing(MOST_ROWS, seed)
    )
    split = make_split(
        len(rows), labels, train_on, rng=np.random.default_rng(seed), order=order, known=confirmed
    )
    calibrating = np.concatenate([split.calibration, *split.folds])
    counts = None if values is None else Counter(values[calibrating].tolist())
    return Plan(
        rows=total,
        read=len(rows),
        fit=len(split.fit),
        calibration=len(split.calibration),
        approximate=bool(split.folds),
        evaluating=len(split.others),
        anomalies=None if labels is None else int((labels == 1).sum()),
        normal=None if labels is None else int((labels == 0).sum()),
        confirmed=None if confirmed is None else int((confirmed == 1).sum()),
        unused=len(rows) - len(split.fit) - len(split.calibration) - len(split.others),
        finest_rate=1 / (len(calibrating) + 1),
        groups=None
        if counts is None
        else tuple(value for value, count in counts.most_common() if value and count >= LEAST_ROWS),
    )
