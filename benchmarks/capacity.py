"""What a budget buys: small students against their teacher, budgets measured again, and the front of fidelity against cost.

small     every clean set, `sw.distill(X, teacher="knn", assume_normal=True, budget=sw.Budget(size_kb=16))`
budgets   ten budgets of latency and size on one table; the chosen graph is measured again, in a process of its own
front     every student that a search without limits trained, on one set
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from protocol import (
    Log,
    arguments,
    data_folder,
    metrics,
    of_student,
    sets,
    split,
    table,
)
from scipy.stats import spearmanr

import stillwatch as sw

SMALL_KB = 16
# Share of the rows that are others when a model is made again; None: all rows of another split, about half of which are others,
# or all where rows are made up.
FRESH: dict[str, float | None] = {"as they were": 0.0, "a tenth new": 0.1, "another split": None}
BUDGETS: tuple[dict[str, float], ...] = (
    {"size_kb": 2},
    {"size_kb": 4},
    {"size_kb": 8},
    {"size_kb": 32},
    {"size_kb": 128},
    {"latency_us": 15},
    {"latency_us": 20},
    {"latency_us": 40},
    {"latency_us": 20, "size_kb": 8},
    {"latency_us": 40, "size_kb": 64},
)
AGAIN = """
import json, sys
from time import perf_counter_ns
import numpy as np
import onnxruntime
import stillwatch as sw
scorer = sw.load(sys.argv[1])
rows = np.load(sys.argv[2])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx", options, providers=["CPUExecutionProvider"])
(packed,) = scorer.pack(rows)
schema = scorer.manifest.schema
feeds = [scorer.manifest.layout.feed(packed.take(slice(i, i + 1)), schema.numbers, schema.texts) for i in range(16)]
taken = []
for call in range(5_000):
    began = perf_counter_ns()
    session.run(None, feeds[call % len(feeds)])
    taken.append((perf_counter_ns() - began) / 1e3)
print(json.dumps(np.quantile(taken[500:], [0.5, 0.9]).tolist()))
"""


def small(path: Path, seed: int) -> dict[str, Any]:
    rows = split(path, regime="clean", seed=seed)
    began = perf_counter()
    d = sw.distill(
        rows.train, teacher="knn", assume_normal=True, seed=seed, budget=sw.Budget(size_kb=SMALL_KB)
    )
    seconds = perf_counter() - began
    theirs, ours = d.teacher_score(rows.test), d.scorer.score(rows.test)
    upper = theirs > np.median(d.knowledge.only("train").raw)
    return {
        "teacher": metrics(rows.labels, theirs),
        "student": metrics(rows.labels, ours),
        "spearman_upper": float(spearmanr(theirs[upper], ours[upper])[0]),
        "chosen": d.search.chosen.name,
        "fidelity": d.search.chosen.fidelity,
        "bytes": len(d.model),
        "trials": len(d.search.trials),
        "seconds": seconds,
    }


def table_of_budgets() -> np.ndarray:
    """Ten columns, some bound together: a table whose search takes seconds."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 10)) @ rng.normal(size=(10, 10)) * np.linspace(0.5, 3, 10)


def budget(asked: dict[str, float]) -> dict[str, Any]:
    rows = table_of_budgets()
    try:
        d = sw.distill(rows, teacher="knn", assume_normal=True, budget=sw.Budget(**asked))
    except sw.StudentError as refused:  # in a slow moment no student of so few microseconds is to be had
        return {"refused": str(refused)}
    with tempfile.TemporaryDirectory() as folder:
        d.save(Path(folder) / "model")
        np.save(Path(folder) / "rows.npy", rows)
        printed = subprocess.run(
            [sys.executable, "-c", AGAIN, f"{folder}/model", f"{folder}/rows.npy"],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        size = (Path(folder) / "model" / "model.onnx").stat().st_size
    latency, slow = json.loads(printed)
    chosen = d.search.chosen
    return {
        "chosen": chosen.name,
        "fidelity": chosen.fidelity,
        "latency_us": chosen.latency_us,
        "latency_again_us": latency,
        "p90_again_us": slow,
        "bytes_again": size,
        "inside_again": latency <= asked.get("latency_us", np.inf)
        and size <= 1_000 * asked.get("size_kb", np.inf),
    }


def front(path: Path) -> dict[str, Any]:
    rows = split(path, regime="clean", seed=0)
    began = perf_counter()
    d = sw.distill(rows.train, teacher="knn", assume_normal=True, budget=sw.Budget())
    theirs = d.teacher_score(rows.test)
    return {
        "seconds": perf_counter() - began,
        "teacher": metrics(rows.labels, theirs),
        "student": metrics(rows.labels, d.scorer.score(rows.test)),
        "trials": [
            {
                "name": trial.name,
                "fidelity": trial.fidelity,
                "latency_us": trial.latency_us,
                "bytes": trial.bytes,
                "front": trial.front,
                "chosen": trial.chosen,
            }
            for trial in d.search.trials
        ],
    }


def thirty_numbers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two samples of 10,000 rows and 30 columns for training, and one for testing, a tenth of it from elsewhere."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(30, 30))
    train, again, test = (rng.normal(size=(10_000, 30)) @ mixing for _ in range(3))
    test[:1_000] *= 1.5
    return train, again, test


def tables(path: Path | None, fresh: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the first model, rows of the next, and rows to test on; see `FRESH`."""
    if path is None:
        first, other, test = thirty_numbers()
    else:
        first = split(path, regime="clean", seed=0).train
        other, test = split(path, regime="clean", seed=1)[:2]
    if fresh is None:
        return first, other, test
    rng, second = np.random.default_rng(0), first.copy()
    count = round(fresh * len(first))
    second[rng.permutation(len(first))[:count]] = other[rng.permutation(len(other))[:count]]
    return first, second, test if path is None else split(path, regime="clean", seed=0).test


def warm(path: Path | None, fresh: float | None) -> dict[str, Any]:
    first, second, test = tables(path, fresh)
    found: dict[str, Any] = {}
    start = sw.distill(first, teacher="knn", assume_normal=True)
    before, threshold = start.scorer.score(test), old_threshold(start)
    for name, going_on in (("cold", None), ("warm", start)):
        began = perf_counter()
        d = sw.distill(second, teacher="knn", assume_normal=True, start=going_on)
        found[f"{name}_seconds"] = perf_counter() - began
        theirs, ours = d.teacher_score(test), d.scorer.score(test)
        upper = theirs > np.median(d.knowledge.only("train").raw)
        found |= {
            f"{name}_spearman": float(spearmanr(theirs, ours)[0]),
            f"{name}_spearman_upper": float(spearmanr(theirs[upper], ours[upper])[0]),
            f"{name}_steps": d.seconds,
        }
        # The new model's scores on rows that neither was fitted on, against the first one's: one scale, or another?
        found[f"{name}_shift"] = float(np.median(ours - before))
        found[f"{name}_alarms_at_old_threshold"] = float((ours >= threshold).mean())
    # Both teachers are of the same rows and the same seed.
    found["start_spearman_upper"] = float(spearmanr(theirs[upper], before[upper])[0])
    found["start_alarms"] = float((before >= threshold).mean())
    found["family"] = start.manifest.student["name"]
    return found


def old_threshold(d: sw.Distillation) -> float:
    from stillwatch.calibration.conformal import threshold

    return threshold(d.manifest.calibration, 0.01)


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    parts = {part: [line for line in lines if line["part"] == part] for part in ("small", "budgets")}
    if found := parts["small"]:
        summary["small_sets"] = len(found)
        for metric in ("auroc", "average_precision"):
            teacher, student = (
                np.array([line[who][metric] for line in found]) for who in ("teacher", "student")
            )
            summary[f"small_teacher_{metric}"] = float(teacher.mean())
            summary[f"small_student_{metric}"] = float(student.mean())
            summary[f"small_{metric}_positive_loss"] = float(np.maximum(teacher - student, 0).mean())
            summary[f"small_{metric}_largest_loss"] = float((teacher - student).max())
        summary["small_largest_bytes"] = max(line["bytes"] for line in found)
        summary["small_spearman_upper"] = float(np.mean([line["spearman_upper"] for line in found]))
    if found := [line for line in lines if line["part"] == "warm"]:
        summary["warm_tables"] = len(found)
        summary["warm_share_of_time"] = [line["warm_seconds"] / line["cold_seconds"] for line in found]
        summary["warm_spearman_upper_gain"] = [
            line["warm_spearman_upper"] - line["cold_spearman_upper"] for line in found
        ]
    if found := parts["budgets"]:
        summary["budgets"] = len(found)
        summary["budgets_held"] = sum(line["inside_again"] for line in found if "refused" not in line)
        summary["budgets_refused"] = sum("refused" in line for line in found)
    return summary


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--part", choices=("small", "budgets", "front", "warm"), action="append")
    parser.add_argument("--set", default="", help="only sets whose name holds this; the front is of one")
    parser.add_argument("--most", type=int, default=100, help="do so many new lines at most")
    options = parser.parse_args()
    paths = [path for path in sets(data_folder(options.data)) if options.set in path.stem]
    if options.quick:
        paths = [path for path in paths if path.stat().st_size < 20_000]
    log = Log("capacity", ("part", "what"), quick=options.quick, made_by=of_student)
    jobs: list[tuple[str, str, Any]] = []
    for part in options.part or ("small", "budgets"):
        if part == "small":
            jobs += [(part, path.stem, lambda path=path: small(path, 0)) for path in paths]
        elif part == "budgets":
            asked = BUDGETS[:3] if options.quick else BUDGETS
            jobs += [(part, json.dumps(one), lambda one=one: budget(one)) for one in asked]
        elif part == "front":
            jobs += [(part, path.stem, lambda path=path: front(path)) for path in paths[:1]]
        else:
            large = [path for path in paths if len(split(path, regime="clean", seed=0).train) >= 10_000]
            for path in [*([] if options.set else [None]), *large]:
                name = "10,000 x 30" if path is None else path.stem
                jobs += [
                    (part, f"{name}, {rows}", lambda path=path, fresh=fresh: warm(path, fresh))
                    for rows, fresh in FRESH.items()
                ]
    new = [job for job in jobs if not log.done(part=job[0], what=job[1])]
    for part, what, job in new[: options.most]:
        log.add(part=part, what=what, **job())
    table(
        ("set", "teacher", "", "student", "", "upper", "bytes", "chosen"),
        [
            (
                line["what"],
                *(
                    line[who][metric]
                    for who in ("teacher", "student")
                    for metric in ("auroc", "average_precision")
                ),
                line["spearman_upper"],
                line["bytes"],
                line["chosen"],
            )
            for line in log.lines
            if line["part"] == "small"
        ],
    )
    table(
        ("budget", "chosen", "fidelity", "µs", "µs again", "bytes again", "inside"),
        [
            (
                line["what"],
                line["chosen"],
                line["fidelity"],
                f"{line['latency_us']:.1f}",
                f"{line['latency_again_us']:.1f}",
                line["bytes_again"],
                line["inside_again"],
            )
            for line in log.lines
            if line["part"] == "budgets" and "refused" not in line
        ],
    )
    for line in log.lines:
        if line["part"] == "front":
            table(
                (line["what"], "fidelity", "µs", "bytes", "front"),
                [
                    (
                        t["name"],
                        t["fidelity"],
                        f"{t['latency_us']:.1f}",
                        t["bytes"],
                        "*" if t["front"] else "",
                    )
                    for t in line["trials"]
                ],
            )
    table(
        ("warm", "cold s", "warm s", "upper before", "cold", "warm", "shift cold", "shift warm"),
        [
            (
                line["what"],
                *(f"{line[f'{name}_seconds']:.1f}" for name in ("cold", "warm")),
                *(line[f"{name}_spearman_upper"] for name in ("start", "cold", "warm")),
                *(line[f"{name}_shift"] for name in ("cold", "warm")),
            )
            for line in log.lines
            if line["part"] == "warm"
        ],
    )
    summary = summarise(log.lines)
    for name, value in summary.items():
        print(f"{name:48s} {value:.4f}" if isinstance(value, float) else f"{name:48s} {value}")
    log.finish(summary)


if __name__ == "__main__":
    main()
