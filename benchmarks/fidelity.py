"""How much of its teacher a student keeps: ours, SUOD's recipe, and the same network on training rows only.

Protocol: clean ADBench sets, the default call `sw.distill(X, teacher=..., assume_normal=True)`. SUOD's recipe is a random forest
that regresses the teacher's scores of its training rows.
"""

from __future__ import annotations

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
from sklearn.ensemble import RandomForestRegressor

import stillwatch as sw


def measure(path: Path, regime: str, teacher: str, seed: int) -> dict[str, Any]:
    rows = split(path, regime=regime, seed=seed)
    began = perf_counter()
    d = sw.distill(rows.train, teacher=teacher, assume_normal=regime == "clean", seed=seed)
    seconds = perf_counter() - began
    x, train = d.features(rows.test), d.knowledge.only("train")
    theirs, ours = d.teacher_score(rows.test), d.scorer.score(rows.test)
    forest = RandomForestRegressor(random_state=seed, n_jobs=2).fit(train.x, train.raw)
    plain = sw.MLP().fit(train, seed=seed)
    upper = theirs > np.median(train.raw)
    top = max(1, round(0.01 * len(theirs)))
    return {
        "rows": len(rows.train),
        "columns": rows.train.shape[1],
        "teacher": metrics(rows.labels, theirs),
        "student": metrics(rows.labels, ours),
        "suod": metrics(rows.labels, forest.predict(x)),
        "training_rows_only": metrics(rows.labels, plain.score(x)),
        "spearman": float(spearmanr(theirs, ours)[0]),
        "spearman_upper": float(spearmanr(theirs[upper], ours[upper])[0]) if upper.sum() > 2 else None,
        "top_overlap": len(np.intersect1d(np.argsort(-theirs)[:top], np.argsort(-ours)[:top])) / top,
        "family": d.manifest.student["name"],
        "seconds": seconds,
        "steps": d.seconds,
        "bytes": len(d.model),
    }


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    def figures(who: str, metric: str) -> np.ndarray:
        return np.array([line[who][metric] for line in lines])

    summary: dict[str, Any] = {"sets": len(lines)}
    for metric in ("auroc", "average_precision"):
        teacher = figures("teacher", metric)
        summary[f"teacher_{metric}"] = float(teacher.mean())
        for who in ("student", "suod", "training_rows_only"):
            loss = teacher - figures(who, metric)
            summary[f"{who}_{metric}"] = float(figures(who, metric).mean())
            summary[f"{who}_{metric}_positive_loss"] = float(np.maximum(loss, 0).mean())
            summary[f"{who}_{metric}_absolute_difference"] = float(np.abs(loss).mean())
            summary[f"{who}_{metric}_largest_loss"] = float(loss.max())
    summary["spearman_upper"] = float(
        np.mean([line["spearman_upper"] for line in lines if line["spearman_upper"]])
    )
    summary["seconds"] = float(sum(line["seconds"] for line in lines))
    return summary


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--teacher", default="knn")
    parser.add_argument("--regime", choices=("clean", "contaminated"), default="clean")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--eight", action="store_true", help="eight of the sets, by their place")
    options = parser.parse_args()
    paths = sets(data_folder(options.data), eight=options.eight)
    if options.quick:
        paths = [path for path in paths if path.stat().st_size < 100_000]
    # The headline stands in fidelity.json; every other teacher and regime in a file of its own.
    headline = (options.teacher, options.regime) == ("knn", "clean")
    name = "fidelity" if headline else f"fidelity_{options.teacher.replace(':', '_')}_{options.regime}"
    log = Log(name, ("set", "asked", "regime", "seed"), quick=options.quick, made_by=of_student)
    for seed in range(options.seeds):
        for path in paths:
            key = {"set": path.stem, "asked": options.teacher, "regime": options.regime, "seed": seed}
            if not log.done(**key):
                found = measure(path, options.regime, options.teacher, seed)
                log.add(**key, **found)
    lines = [
        line for line in log.lines if line["asked"] == options.teacher and line["regime"] == options.regime
    ]
    table(
        ("set", "seed", "teacher", "", "student", "", "SUOD", "", "train only", "", "upper", "s"),
        [
            (
                line["set"],
                line["seed"],
                *(
                    line[who][metric]
                    for who in ("teacher", "student", "suod", "training_rows_only")
                    for metric in ("auroc", "average_precision")
                ),
                line["spearman_upper"],
                f"{line['seconds']:.1f}",
            )
            for line in lines
        ],
    )
    summary = summarise(lines)
    for name, value in summary.items():
        print(f"{name:48s} {value:.4f}" if isinstance(value, float) else f"{name:48s} {value}")
    log.finish(summary)


if __name__ == "__main__":
    main()
