"""Columns that give the label away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillwatch.evaluation.quality import Ranking
from stillwatch.features.pipeline import Features
from stillwatch.table.pack import Rows

SEPARATES = 0.98


def leaking_columns(features: Features, rows: Rows, labels: NDArray[np.float64]) -> dict[str, float]:
    """Columns that alone separate the label, with their AUROC; higher than `SEPARATES`, whatever the direction."""
    known = ~np.isnan(labels)
    anomaly = labels[known] == 1
    if not anomaly.any() or anomaly.all():
        return {}
    rows = rows.take(np.flatnonzero(known))
    order = dict(zip(features.schema.numbers, rows.numbers.T, strict=True))
    columns = {
        name: np.where(np.isnan(column), np.nanmin(column, initial=0) - 1, column)
        for name, column in order.items()
    }
    columns |= dict(zip(features.schema.times, rows.times.astype(np.float64).T, strict=True))
    if features.categories is not None:
        codes = features.categories.codes(rows.texts)
        for name, code in zip(features.layout.txt, codes.T, strict=True):
            # A category is as telling as the share of anomalies among its rows.
            share = np.bincount(code, weights=anomaly) / np.maximum(np.bincount(code), 1)
            columns[name] = share[code]
    found = {}
    for name, column in columns.items():
        finite = np.clip(column, -1e300, 1e300)
        auroc, _ = Ranking(finite).areas(anomaly.astype(np.float64), (~anomaly).astype(np.float64))
        if max(auroc, 1 - auroc) > SEPARATES:
            found[name] = max(auroc, 1 - auroc)
    return found
