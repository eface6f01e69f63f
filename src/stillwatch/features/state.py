"""Fitted features as plain values, so that a later distillation can go on in the same units."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillwatch.errors import InputError
from stillwatch.features.category import Categories
from stillwatch.features.number import Numbers
from stillwatch.features.pipeline import Features
from stillwatch.features.timestamp import Timestamps
from stillwatch.table.pack import Layout
from stillwatch.table.schema import Schema


def state_of(features: Features) -> dict[str, Any]:
    """JSON-able constants of the steps; schema, layout and categories stand in the manifest already."""
    state: dict[str, Any] = {}
    if (numbers := features.numbers) is not None:
        state["numbers"] = {
            "wide": numbers.wide,
            "center": numbers.center.tolist(),
            "constant": numbers.constants.tolist(),
            "scale": numbers.scale.tolist(),
            "box": numbers.box.tolist(),
            "missing": numbers.missing.tolist(),
        }
    if (categories := features.categories) is not None:
        state["categories"] = {
            "frequent": [len(values) for values in categories.frequent],
            "weight": categories.weight.tolist(),
        }
    if (stamps := features.timestamps) is not None:
        state["timestamps"] = {
            "gaps": stamps.gaps.tolist(),
            "low": stamps.low.tolist(),
            "high": stamps.high.tolist(),
        }
    return state


def features_of(
    state: dict[str, Any], schema: Schema, layout: Layout, known: dict[str, tuple[str, ...]]
) -> Features:
    """What `state_of` described.

    Parameters
    ----------
    known
        values of each category column, the frequent ones first.

    Raises
    ------
    InputError
        the values do not make features.
    """
    try:
        return Features(
            schema=schema,
            layout=layout,
            numbers=_numbers(state["numbers"]) if "numbers" in state else None,
            categories=(
                _categories(state["categories"], [known[name] for name in layout.txt], schema.missing)
                if "categories" in state
                else None
            ),
            timestamps=_timestamps(state["timestamps"], len(layout.time)) if "timestamps" in state else None,
        )
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        raise InputError(f"The features of the model to start from cannot be read ({exc!r}).") from exc


def _numbers(state: dict[str, Any]) -> Numbers:
    center = np.array(state["center"], dtype=np.float64)
    constant = np.zeros(len(center), dtype=np.bool_)
    constant[state["constant"]] = True
    return Numbers(
        wide=int(state["wide"]),
        center=center,
        constant=constant,
        scale=np.array(state["scale"], dtype=np.float64),
        box=np.array(state["box"], dtype=np.float64),
        missing=np.array(state["missing"], dtype=np.int64),
    )


def _categories(state: dict[str, Any], known: list[tuple[str, ...]], missing: tuple[str, ...]) -> Categories:
    counts = state["frequent"]
    return Categories(
        tuple(values[:count] for values, count in zip(known, counts, strict=True)),
        tuple(values[count:] for values, count in zip(known, counts, strict=True)),
        missing,
        np.array(state["weight"], dtype=np.float32),
    )


def _timestamps(state: dict[str, Any], columns: int) -> Timestamps:
    gaps, low, high = (np.array(state[name], dtype=np.int64) for name in ("gaps", "low", "high"))
    return Timestamps(columns=columns, gaps=gaps, low=low, high=high)
