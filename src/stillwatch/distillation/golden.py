"""Rows made up for a model, that must score the same for as long as its folder lives."""

from __future__ import annotations

import numpy as np

from stillwatch.artifact.manifest import Value
from stillwatch.features.pipeline import Features

GOLDEN_ROWS = 16


def golden_rows(features: Features, rng: np.random.Generator) -> tuple[dict[str, Value], ...]:
    """Synthetic rows, none taken from the data: ordinary, far out, and with missing or unseen values."""
    rows: list[dict[str, Value]] = [{} for _ in range(GOLDEN_ROWS)]
    numbers, categories, layout = features.numbers, features.categories, features.layout
    kinds = {column.name: column.kind for column in features.schema.features}
    if numbers is not None:
        scales = np.ones(len(numbers.center))
        scales[numbers.varying] = numbers.scale
        for j, name in enumerate(layout.num + layout.num64):
            steps = rng.normal(size=GOLDEN_ROWS) * np.geomspace(0.5, 1e3, GOLDEN_ROWS)
            for row, step in zip(rows, steps, strict=True):
                value = float(f"{numbers.center[j] + step * scales[j]:.6g}")
                row[name] = bool(step > 0) if kinds[name] == "boolean" else value
    if categories is not None:
        for name, known in zip(layout.txt, categories.known(), strict=True):
            choices = (*known, "never seen before")
            for row, pick in zip(rows, rng.integers(0, len(choices), GOLDEN_ROWS), strict=True):
                row[name] = choices[pick]
    for name in layout.time:
        for row in rows:
            row[name] = str(np.datetime64(int(rng.integers(0, 2**51)), "us"))
    names = list(rows[0])
    for row in rows[::4]:
        row[names[rng.integers(len(names))]] = None
    return tuple(rows)
