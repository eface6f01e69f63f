"""Do reasons name the columns that make a row odd, and what do they cost?

Normal rows that nothing was fitted on are taken from the clean sets, and one, two or three of their columns are pushed up or down
by 3, 5 or 8 robust deviations. `found` is the share of the pushed columns among the top three reasons, `all` the share of rows
with all of them there. Peers see the same rows: the distance from the median in robust deviations, which knows how the rows were
made; ECOD's tail probability of each column; and Shapley values of the teacher, sampled (4 orders, values of random
training rows). One mixed table is among the sets: there numbers are pushed, and text may be named by mistake.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray
from protocol import Log, arguments, data_folder, sets, split, table
from speed import one_by_one

import stillwatch as sw
from stillwatch.features.number import robust_scale

ROWS = 40
TOP = 3
ORDERS = 4
PUSHES = (3.0, 5.0, 8.0)
MIXED = "nsl_kdd"

FloatArray = NDArray[np.float64]
Judge = Callable[[Any], FloatArray]


class Task(NamedTuple):
    """Rows to distill, normal rows apart, their number columns, and how to put numbers back into rows."""

    train: Any
    normal: Any
    numbers: FloatArray
    apart: FloatArray
    names: list[str]
    put: Callable[[Any, FloatArray], Any]


def array_task(path: Path) -> Task:
    rows = split(path, regime="clean", seed=0)
    normal = rows.test[rows.labels == 0]
    names = [f"x{j}" for j in range(normal.shape[1])]
    return Task(rows.train, normal, rows.train, normal, names, lambda rows, numbers: numbers)


def mixed_task(data: Path) -> Task:
    whole = pacsv.read_csv(data / "network" / f"{MIXED}_train.csv.gz")
    whole = whole.filter(pc.equal(whole["anomaly"], 0)).drop_columns(["attack", "anomaly"])
    order = np.random.default_rng(0).permutation(whole.num_rows)
    train, apart = whole.take(order[:10_000]), whole.take(order[10_000:12_000])
    names = [field.name for field in whole.schema if not pa.types.is_string(field.type)]

    def matrix(rows: pa.Table) -> FloatArray:
        return np.stack([rows[name].to_numpy().astype(np.float64) for name in names], axis=1)

    def put(rows: pa.Table, numbers: FloatArray) -> pa.Table:
        for name, column in zip(names, numbers.T, strict=True):
            rows = rows.set_column(rows.column_names.index(name), name, pa.array(column))
        return rows

    return Task(train, apart, matrix(train), matrix(apart), names, put)


def measure(task: Task) -> dict[str, Any]:
    d = sw.distill(task.train, teacher="knn", assume_normal=True)
    scale = np.array([robust_scale(column) for column in task.numbers.T])
    pushable = np.flatnonzero(scale > 0)
    rng = np.random.default_rng(0)
    cells = []
    for count in range(1, min(3, len(pushable) - 1) + 1):
        for push in PUSHES:
            chosen = rng.integers(0, len(task.apart), ROWS)
            numbers = task.apart[chosen].copy()
            true = np.array([rng.choice(pushable, count, replace=False) for _ in range(ROWS)])
            sign = rng.choice([-1.0, 1.0], size=true.shape)
            numbers[np.arange(ROWS)[:, None], true] += push * sign * scale[true]
            rows = task.put(task.normal.take(chosen) if isinstance(task.normal, pa.Table) else None, numbers)
            named = {
                "ours": ours(d.scorer, rows, task.names),
                "robust_deviations": largest(deviations(task.numbers, scale, numbers)),
                "ecod": largest(tails(task.numbers, numbers)),
            }
            if not isinstance(rows, pa.Table):
                named["teacher_shapley"] = largest(shapley(d.teacher_score, task.numbers, numbers, rng))
            cells.append(
                {"columns": count, "push": push} | {who: hits(top, true) for who, top in named.items()}
            )
    return {"width": len(d.manifest.schema.features), "train": len(task.numbers), "cells": cells}


def ours(scorer: sw.Scorer, rows: Any, names: list[str]) -> list[set[int]]:
    place = {name: j for j, name in enumerate(names)}
    return [{place.get(reason.column, -1) for reason in found} for found in scorer.explain(rows, TOP)]


def largest(worth: FloatArray) -> list[set[int]]:
    return [set(row.tolist()) for row in np.argsort(-worth, axis=1, kind="stable")[:, :TOP]]


def deviations(train: FloatArray, scale: FloatArray, x: FloatArray) -> FloatArray:
    away = np.abs(x - np.median(train, axis=0))
    return np.where(scale > 0, away / np.where(scale > 0, scale, 1), 0)


def tails(train: FloatArray, x: FloatArray) -> FloatArray:
    """-log of the smaller tail of each column."""
    ordered = np.sort(train, axis=0)
    left = np.stack(
        [np.searchsorted(o, c, side="right") for o, c in zip(ordered.T, x.T, strict=True)], axis=1
    )
    right = len(train) - np.stack(
        [np.searchsorted(o, c, side="left") for o, c in zip(ordered.T, x.T, strict=True)], axis=1
    )
    return -np.log((np.minimum(left, right) + 1) / (len(train) + 1))


def shapley(score: Judge, train: FloatArray, x: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Mean rise of the teacher's score as the columns of a row enter a random training row, in random orders."""
    n, width = x.shape
    worth = np.zeros_like(x)
    for _ in range(ORDERS):
        now = train[rng.integers(0, len(train), n)].copy()
        order = np.argsort(rng.random((n, width)), axis=1)
        steps = [now.copy()]
        for place in range(width):
            column = order[:, place]
            now[np.arange(n), column] = x[np.arange(n), column]
            steps.append(now.copy())
        scores = np.asarray(score(np.concatenate(steps))).reshape(width + 1, n)
        np.add.at(worth, (np.arange(n)[:, None], order), np.diff(scores, axis=0).T)
    return worth


def hits(top: list[set[int]], true: NDArray[np.int64]) -> dict[str, float]:
    share = np.array(
        [len(found & set(row)) / len(row) for found, row in zip(top, true.tolist(), strict=True)]
    )
    return {"found": float(share.mean()), "all": float((share == 1).mean())}


def cost(quick: bool) -> dict[str, float]:
    """One row of 30 numbers, in µs."""
    x = np.random.default_rng(0).normal(size=(5_000, 30))
    scorer = sw.distill(x, teacher="knn", assume_normal=True).scorer
    names = [f"x{j}" for j in range(30)]
    rows = [dict(zip(names, row, strict=True)) for row in x[:1_000].tolist()]
    found = one_by_one(
        {
            "score_one": lambda i: scorer.score_one(rows[i % 1_000]),
            "explain_one": lambda i: scorer.explain_one(rows[i % 1_000]),
            "explain_array": lambda i: scorer.explain(x[i % 1_000 : i % 1_000 + 1]),
        },
        repeats=1 if quick else 7,
    )
    return {f"{name}_{at}_us": value for name, times in found.items() for at, value in times.items()}


def summarise(lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for count in (1, 2, 3):
        for push in PUSHES:
            cells = [c for line in lines for c in line["cells"] if (c["columns"], c["push"]) == (count, push)]
            figures = [
                float(np.mean([cell[who][kind] for cell in cells if who in cell]))
                for who in ("ours", "robust_deviations", "ecod", "teacher_shapley")
                for kind in ("found", "all")
            ]
            rows.append((count, push, len(cells), *figures))
    return rows


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    data = data_folder(options.data)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tasks: dict[str, Callable[[], Task]] = {
        path.stem: lambda path=path: array_task(path) for path in sets(data)
    }
    tasks[MIXED] = lambda: mixed_task(data)
    if options.quick:
        tasks = {name: tasks[name] for name in ("14_glass", "47_yeast", "43_WDBC")}
    log = Log("reasons", ("set",), quick=options.quick)
    for name, make in tasks.items():
        if not log.done(set=name):
            log.add(set=name, **measure(make()))
            print(name, flush=True)
    if not log.done(set="cost"):
        log.add(set="cost", **cost(options.quick))
    lines = [line for line in log.lines if line["set"] != "cost"]
    summary = summarise(lines)
    heads = ("columns", "push", "sets", "ours", "all", "deviations", "all", "ECOD", "all", "Shapley", "all")
    table(heads, summary)
    figures = {
        key: value
        for line in log.lines
        if line["set"] == "cost"
        for key, value in line.items()
        if key != "set"
    }
    table(("cost", "µs"), figures.items())
    keys = (
        "columns",
        "push",
        "sets",
        *(
            f"{who}_{kind}"
            for who in ("ours", "robust_deviations", "ecod", "teacher_shapley")
            for kind in ("found", "all")
        ),
    )
    log.finish({"found": [dict(zip(keys, row, strict=True)) for row in summary], "cost": figures})


if __name__ == "__main__":
    main()
