"""Which rows fit, which calibrate, which evaluate: decided before any statistic is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import InputError

PLAIN = 2_000  # from so many rows on, a part is set aside for calibration; fewer all fit, and folds calibrate
MOST_CALIBRATION = 20_000
FOLDS = 2
FEWEST_ROWS = 5

TrainOn = Literal["all", "normal"]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Row numbers by purpose.

    Attributes
    ----------
    fit
        rows that features, teacher, knowledge and student may see.
    calibration
        rows that none of them sees, of the same kind; empty where folds calibrate.
    folds
        parts of `fit` that take turns in being left out; empty where `calibration` is not.
    others
        labelled anomalies that must not train (`train_on="normal"`): they evaluate.
    """

    fit: Index
    calibration: Index
    folds: tuple[Index, ...]
    others: Index


def make_split(
    rows: int,
    labels: NDArray[np.float64] | None,
    train_on: TrainOn,
    *,
    rng: np.random.Generator,
    order: NDArray[Any] | None = None,
    known: NDArray[np.float64] | None = None,
) -> Split:
    """Split `rows` rows at random, or by time.

    Parameters
    ----------
    labels
        (rows,) 1 = anomaly, 0 = normal, NaN = unknown.
    order
        (rows,) when each row happened: the newest then calibrate, and folds are spans of time. None: at random.
    known
        (rows,) 1 = confirmed anomaly: such a row always fits, and never calibrates or takes a turn in being left out.

    Raises
    ------
    InputError
        `train_on="normal"` without labels, or too few rows.
    """
    if train_on not in ("all", "normal"):
        raise InputError(f"train_on={train_on!r}: expected 'all' or 'normal'.")
    pool = np.arange(rows)
    others = np.zeros(0, dtype=np.int64)
    if train_on == "normal":
        if labels is None:
            raise InputError("train_on='normal' needs a label column. Name it, or pass assume_normal=True.")
        pool, others = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    confirmed = np.flatnonzero(known == 1) if known is not None else np.zeros(0, dtype=np.int64)
    pool = np.setdiff1d(pool, confirmed, assume_unique=True)
    others = np.setdiff1d(others, confirmed, assume_unique=True)
    if len(pool) < FEWEST_ROWS:
        what = ("normal " if train_on == "normal" else "") + ("row" if len(pool) == 1 else "rows")
        raise InputError(f"{len(pool)} {what} came to train on; at least {FEWEST_ROWS} are needed.")
    shuffled = rng.permutation(pool)
    if order is not None:  # the newest first; rows of one time stay shuffled
        shuffled = shuffled[np.argsort(order[shuffled], kind="stable")[::-1]]
    if len(pool) < PLAIN:
        parts = tuple(np.sort(part) for part in np.array_split(shuffled, FOLDS))
        return Split(np.union1d(pool, confirmed), np.zeros(0, dtype=np.int64), parts, others)
    size = min(len(pool) // 5, MOST_CALIBRATION)
    return Split(np.union1d(shuffled[size:], confirmed), np.sort(shuffled[:size]), (), others)
