"""Does drift keep its promises, and what does it still see?

Four parts, three of them with a peer in the same run:

same
    100 resamplings of 1,000 rows, of the table that was distilled (`resampled`, with replacement) and of normal rows apart
    (`apart`, without), on the development sets: how many raise the 1 % alarm. Peer: `scipy.stats.ks_2samp` of every column with
    all rows of the table, which must then be kept, at 1 % over the number of columns.
shift
    one of 30 columns of a normal table moves by 0.5 deviations in 400 rows, or by 0.1 in 6,000: how often it is named, and how
    often another column is. The same peer.
stream
    scores like those of 400, 4,000 or 20,000 calibration rows: alarms in 10^6 rows, and rows until an alarm once scores have
    moved. Peer: the power martingale on p-values from the same table (Vovk et al. 2003), which takes the table for the truth.
cost
    time of the monitor as a share of the time of scoring, in batches.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray
from protocol import Log, arguments, data_folder, sets, split, table
from scipy.stats import ks_2samp

import stillwatch as sw
from stillwatch.calibration.conformal import calibrate, p_values
from stillwatch.drift.monitor import Monitor
from stillwatch.drift.sketch import sketch_scores

LEVEL = 0.01
COLUMNS = 30
BATCH = 10_000

FloatArray = NDArray[np.float64]


def same(path: Path, runs: int) -> dict[str, Any]:
    rows = split(path, regime="clean", seed=0)
    train, apart = rows.train, rows.test[rows.labels == 0]
    scorer = sw.distill(train, teacher="knn", assume_normal=True).scorer
    rng = np.random.default_rng(0)
    samples = {
        "resampled": lambda: train[rng.integers(0, len(train), 1_000)],
        "apart": lambda: apart[rng.permutation(len(apart))[:1_000]],
    }
    found: dict[str, Any] = {"train": len(train), "columns": train.shape[1], "runs": runs}
    for name, draw in samples.items():
        alarms, columns, peer = 0, 0, 0
        for _ in range(runs):
            drawn = draw()
            drift = scorer.drift(drawn, level=LEVEL)
            alarms += drift.alarm
            columns += bool(drift.drifted)
            peer += bool(by_scipy(train, drawn))
        found[name] = {"alarms": alarms, "columns": columns, "ks_2samp": peer}
    return found


def shift(size: int, by: float, rows: int, runs: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    train = rng.normal(size=(size, COLUMNS))
    scorer = sw.distill(
        train, teacher="isolation_forest", assume_normal=True, student=sw.MLP(hidden=(16,), steps=200)
    ).scorer
    named = other = peer = 0
    for run in range(runs):
        x = rng.normal(size=(rows, COLUMNS))
        column = run % COLUMNS
        x[:, column] += by * (-1) ** run
        drifted = scorer.drift(x, level=LEVEL).drifted
        named += f"x{column}" in drifted
        other += bool(set(drifted) - {f"x{column}"})
        peer += column in by_scipy(train, x)
    return {"runs": runs, "named": named / runs, "other": other / runs, "ks_2samp": peer / runs}


def by_scipy(train: FloatArray, rows: FloatArray) -> list[int]:
    """Columns that two-sample KS tests call different, corrected for their number."""
    width = train.shape[1]
    return [
        j for j in range(width) if ks_2samp(train[:, j], rows[:, j], method="asymp").pvalue * width <= LEVEL
    ]


class PowerMartingale:
    """Bets on small p-values, a mixture over powers, restarted by the Shiryaev-Roberts rule as ours is."""

    POWERS = np.array([0.3, 0.5, 0.7, 0.85, 0.95])

    def __init__(self, scores: NDArray[np.float32], every: int) -> None:
        self._table = calibrate(scores, approximate=False, normal=True)
        self._every = every
        self._log_r = np.full(len(self.POWERS), -np.inf)
        self.rows, self.alarm_row = 0, None

    def add(self, scores: NDArray[np.float32]) -> bool:
        p = p_values(self._table, scores)
        won = (np.log(self.POWERS)[:, None] + (self.POWERS[:, None] - 1) * np.log(p)).sum(axis=1)
        self._log_r = np.logaddexp(self._log_r, np.log(len(scores))) + won
        self.rows += len(scores)
        evidence = np.logaddexp.reduce(self._log_r) - np.log(len(self.POWERS) * self._every)
        if self.alarm_row is None and evidence >= 0:
            self.alarm_row = self.rows
        return self.alarm_row is not None


def quiet(calibrating: int, streams: int, rows: int) -> dict[str, Any]:
    """Alarms in streams where nothing changes."""
    counts = {"ours": 0, "power_martingale": 0}
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        scores = rng.normal(size=calibrating).astype(np.float32)
        monitor = Monitor(sketch_scores(scores))
        watches = {"ours": monitor, "power_martingale": PowerMartingale(scores, monitor.every)}
        for _ in range(0, rows, BATCH):
            batch = rng.normal(size=BATCH).astype(np.float32)
            for watch in watches.values():
                watch.add(batch)
        for name, watch in watches.items():
            counts[name] += watch.alarm_row is not None
    return {"rows": streams * rows, "alarms": counts}


def noticed(calibrating: int, by: float, before: int, streams: int) -> dict[str, Any]:
    """Rows from a change of the scores to the alarm."""
    delays: list[float] = []
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        monitor = Monitor(sketch_scores(rng.normal(size=calibrating).astype(np.float32)))
        monitor.add(rng.normal(size=before).astype(np.float32))
        early = monitor.alarm_row is not None
        while (
            not early
            and monitor.rows < before + 50_000
            and not monitor.add(rng.normal(by, size=256).astype(np.float32))
        ):
            pass
        delays.append(np.inf if early or monitor.alarm_row is None else monitor.alarm_row - before)
    within = np.isfinite(delays)
    return {
        "streams": streams,
        "noticed": float(within.mean()),
        "median_rows": float(np.median(delays)) if within.mean() > 0.5 else None,
    }


def cost(quick: bool) -> dict[str, float]:
    x = np.random.default_rng(0).normal(size=(5_000, COLUMNS))
    scorer = sw.distill(x, teacher="knn", assume_normal=True).scorer
    monitor, rows = scorer.monitor(), np.tile(x, (2, 1))
    scoring, watching = [], []
    for _ in range(30 if quick else 300):
        began = perf_counter_ns()
        scores = scorer.score(rows)
        middle = perf_counter_ns()
        monitor.add(scores)
        scoring.append(middle - began)
        watching.append(perf_counter_ns() - middle)
    per_row = [float(np.median(taken)) / len(rows) for taken in (scoring, watching)]
    return {
        "batch": len(rows),
        "scoring_ns": per_row[0],
        "monitor_ns": per_row[1],
        "share": per_row[1] / per_row[0],
    }


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    runs, streams, rows = (10, 2, 100_000) if options.quick else (100, 20, 1_000_000)
    log = Log("drift", ("part", "key"), quick=options.quick)

    def once(part: str, key: str, measure: Callable[..., dict[str, Any]], *given: Any) -> None:
        if not log.done(part=part, key=key):
            log.add(part=part, key=key, **measure(*given))
            print(part, key, flush=True)

    once("cost", "batches", cost, options.quick)
    for size in (10_000, 20_000):
        for by, count in ((0.5, 400), (0.1, 6_000)):
            once("shift", f"{size} rows, {by} in {count}", shift, size, by, count, 2 * runs)
    for calibrating in (400, 4_000, 20_000):
        once("quiet", f"{calibrating}", quiet, calibrating, streams, rows)
        for by in (0.25, 0.5, 1.0):
            for before in (0, 20_000):
                once(
                    "noticed",
                    f"{calibrating}, {by} after {before}",
                    noticed,
                    calibrating,
                    by,
                    before,
                    streams,
                )
    paths = sets(data_folder(options.data))
    for path in [path for path in paths if path.stat().st_size < 50_000] if options.quick else paths:
        once("same", path.stem, same, path, runs)
    summary = {
        part: {line["key"]: line for line in log.lines if line["part"] == part}
        for part in ("cost", "shift", "quiet", "noticed", "same")
    }
    show(summary)
    log.finish(summary)


def show(summary: dict[str, dict[str, Any]]) -> None:
    (found,) = summary["cost"].values()
    print(f"monitor: {found['monitor_ns']:.0f} ns a row, {found['share']:.1%} of scoring\n")
    table(
        ("shift", "named", "another", "ks_2samp"),
        [(key, line["named"], line["other"], line["ks_2samp"]) for key, line in summary["shift"].items()],
    )
    print()
    table(
        ("quiet: calibrating", "rows", "alarms", "power martingale"),
        [
            (key, f"{line['rows']:,}", line["alarms"]["ours"], line["alarms"]["power_martingale"])
            for key, line in summary["quiet"].items()
        ],
    )
    print()
    table(
        ("noticed", "share", "rows"),
        [(key, line["noticed"], line["median_rows"]) for key, line in summary["noticed"].items()],
    )
    print()
    kinds = [
        ("resampled", "alarms"),
        ("resampled", "ks_2samp"),
        ("apart", "alarms"),
        ("apart", "columns"),
        ("apart", "ks_2samp"),
    ]
    table(
        ("same: alarms of runs", "rows", "runs", *(f"{a} {b}" for a, b in kinds)),
        [
            (key, line["train"], line["runs"], *(line[a][b] for a, b in kinds))
            for key, line in summary["same"].items()
        ],
    )


if __name__ == "__main__":
    main()
