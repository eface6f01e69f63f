"""What a score costs: one row, a batch, a table, a cold start.

The bare network and scikit-learn stand beside it, in one run on one core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from protocol import Log, arguments, data_folder, table
from sklearn.ensemble import IsolationForest

import stillwatch as sw
from stillwatch.artifact.parity import open_session
from stillwatch.graph import Graph

ROWS = 1_000
COLD_START = """
import time; began = time.perf_counter()
import stillwatch as sw
scorer = sw.load({model!r}); scorer.score_one({row!r})
seconds = time.perf_counter() - began
import sys, json
print(json.dumps([seconds, [name for name in ("torch", "sklearn", "pandas") if name in sys.modules]]))
"""


def bare_session(student: sw.Student, columns: int) -> Any:
    """The same student, fed with features that are ready: what no preprocessing can beat."""
    graph = Graph()
    return open_session(graph.finish(student.write(graph, graph.input("num", columns))))


def one_by_one(calls: dict[str, Callable[[int], Any]], repeats: int) -> dict[str, dict[str, float]]:
    """p50 and p99 in µs of each call over `ROWS` rotating rows; the calls take turns, so that all meet the same noise."""
    times: dict[str, list[int]] = {name: [] for name in calls}
    for call in calls.values():
        for i in range(50):
            call(i)
    for _ in range(repeats):
        for name, call in calls.items():
            for i in range(ROWS):
                began = perf_counter_ns()
                call(i)
                times[name].append(perf_counter_ns() - began)
    return {
        name: {"p50": float(np.median(taken)) / 1e3, "p99": float(np.quantile(taken, 0.99)) / 1e3}
        for name, taken in times.items()
    }


def rows_per_second(calls: dict[str, Callable[[], Any]], rows: int, repeats: int) -> dict[str, float]:
    """Median rate of each call over `rows` rows; the calls take turns."""
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            began = perf_counter_ns()
            call()
            rates[name].append(rows * 1e9 / (perf_counter_ns() - began))
    return {name: float(np.median(taken)) for name, taken in rates.items()}


def thirty_numbers(quick: bool) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5_000, 30)) @ rng.normal(size=(30, 30))
    d = sw.distill(x, teacher="knn", assume_normal=True)
    features = d.features(x[:ROWS])
    bare = bare_session(d.fitted.student, features.shape[1])
    ready = [features[i : i + 1] for i in range(ROWS)]
    arrays, names = list(x[:ROWS]), [f"x{j}" for j in range(30)]
    dicts = [dict(zip(names, row.tolist(), strict=True)) for row in arrays]
    one = d.scorer.score_one
    found = one_by_one(
        {
            "bare": lambda i: bare.run(["score"], {"num": ready[i % ROWS]}),
            "array": lambda i: one(arrays[i % ROWS]),
            "dict": lambda i: one(dicts[i % ROWS]),
        },
        repeats=2 if quick else 10,
    )
    forest = IsolationForest(random_state=0).fit(x)
    slow = []
    for i in range(20 if quick else 200):
        began = perf_counter_ns()
        forest.score_samples(x[i : i + 1])
        slow.append(perf_counter_ns() - began)
    batch = np.tile(x, (20, 1))
    matrix = np.tile(d.features(x), (20, 1))

    def bare_batch() -> None:
        for start in range(0, len(matrix), 1024):
            bare.run(["score"], {"num": matrix[start : start + 1024]})

    rates = rows_per_second(
        {"bare": bare_batch, "ours": lambda: d.scorer.score(batch)}, len(batch), repeats=3 if quick else 11
    )
    forest_us = float(np.median(slow)) / 1e3
    return {
        "family": d.manifest.student["name"],
        "bare_us": found["bare"]["p50"],
        "array_us": found["array"]["p50"],
        "array_p99_us": found["array"]["p99"],
        "dict_us": found["dict"]["p50"],
        "dict_p99_us": found["dict"]["p99"],
        "array_over_bare": found["array"]["p50"] / found["bare"]["p50"],
        "dict_over_bare": found["dict"]["p50"] / found["bare"]["p50"],
        "isolation_forest_us": forest_us,
        "isolation_forest_over_dict": forest_us / found["dict"]["p50"],
        "bare_rows_per_second": rates["bare"],
        "batch_rows_per_second": rates["ours"],
        "batch_over_bare": rates["ours"] / rates["bare"],
    }


def mixed_columns(data: Path, quick: bool) -> dict[str, Any]:
    folder = data / "network"
    d = sw.distill(
        folder / "nsl_kdd_train.csv.gz", label="anomaly", ignore=["attack"], train_on="normal", teacher="knn"
    )
    rows = pacsv.read_csv(folder / "nsl_kdd_test.csv.gz").drop_columns(["attack", "anomaly"])
    features = d.features(rows.slice(0, ROWS))
    bare = bare_session(d.fitted.student, features.shape[1])
    ready = [features[i : i + 1] for i in range(ROWS)]
    dicts = rows.slice(0, ROWS).to_pylist()
    found = one_by_one(
        {
            "bare": lambda i: bare.run(["score"], {"num": ready[i % ROWS]}),
            "dict": lambda i: d.scorer.score_one(dicts[i % ROWS]),
        },
        repeats=2 if quick else 10,
    )
    table_rows = pa.concat_tables([rows] * 5).combine_chunks()
    rates = rows_per_second(
        {"ours": lambda: d.scorer.score(table_rows)}, table_rows.num_rows, repeats=3 if quick else 7
    )
    return {
        "mixed_family": d.manifest.student["name"],
        "mixed_bare_us": found["bare"]["p50"],
        "mixed_dict_us": found["dict"]["p50"],
        "mixed_dict_p99_us": found["dict"]["p99"],
        "mixed_dict_above_bare_us": found["dict"]["p50"] - found["bare"]["p50"],
        "mixed_table_rows_per_second": rates["ours"],
        **cold_start(d, dicts[0]),
    }


def cold_start(d: sw.Distillation, row: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        d.save(Path(folder) / "model")
        code = COLD_START.format(model=str(Path(folder) / "model"), row=row)
        runs = [
            json.loads(
                subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, check=True, text=True
                ).stdout
            )
            for _ in range(7)
        ]
    return {"cold_start_seconds": float(np.median([run[0] for run in runs])), "heavy_modules": runs[0][1]}


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    data = data_folder(options.data)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    log = Log("speed", ("run",), quick=options.quick)
    found = thirty_numbers(options.quick) | mixed_columns(data, options.quick)
    log.add(run=len(log.lines), **found)
    table(("figure", "value"), found.items())
    log.finish(found)


if __name__ == "__main__":
    main()
