"""What folds are worth: the same student taught by in-sample and by out-of-fold scores of the training rows.

Teachers without a leave-one-out form of their own. `rule` is what `sw.distill` does: folds only where the first of them shows
that the teacher knows its rows by heart. All other rows of the knowledge are the same. Folds cost five more fits of the teacher.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from protocol import Log, arguments, data_folder, metrics, packed, sets, split, table
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import KernelDensity, LocalOutlierFactor

import stillwatch as sw
from stillwatch.distillation.split import make_split
from stillwatch.features.pipeline import fit_features
from stillwatch.knowledge.extract import Asker
from stillwatch.knowledge.make import make_knowledge
from stillwatch.teachers import Regime, ask, fit_teacher, resolve_teacher
from stillwatch.teachers.out_of_fold import TrainingScores, out_of_fold, training_scores

TEACHERS: dict[str, Any] = {
    "isolation_forest": "isolation_forest",
    "gmm": "gmm",
    "ocsvm": "ocsvm",
    "LocalOutlierFactor(novelty=True)": LocalOutlierFactor(novelty=True),
    "LocalOutlierFactor(1, novelty=True)": LocalOutlierFactor(1, novelty=True),
    "KernelDensity(bandwidth=0.2)": KernelDensity(bandwidth=0.2),
    "IsolationForest(max_samples=1.0)": IsolationForest(max_samples=1.0),
}


def measure(path: Path, regime: str, name: str, seed: int) -> dict[str, Any]:
    rows = split(path, regime=regime, seed=seed)
    packer, train = packed(rows.train)
    fit = train.take(make_split(len(train), None, "all", rng=np.random.default_rng(seed)).fit)
    features = fit_features(fit, packer.schema)
    code = features.encode(fit)
    x = features.assemble(code)
    test = features.transform(packed(rows.test, packer)[1])
    may_assume: Regime = "normal" if regime == "clean" else "all"
    began = perf_counter()
    teacher = fit_teacher(resolve_teacher(TEACHERS[name], regime=may_assume), x, seed=seed)
    fitting = perf_counter() - began
    began = perf_counter()
    folds = TrainingScores(out_of_fold(teacher, x, seed=seed), "out-of-fold")
    folding = perf_counter() - began
    found: dict[str, Any] = {"teacher": metrics(rows.labels, ask(teacher, test))}
    for how, own in (("in-sample", None), ("out-of-fold", folds)):
        knowledge = make_knowledge(Asker(teacher, x), features, code, own, seed=seed)
        student = sw.MLP().fit(knowledge, seed=seed)
        found[how] = metrics(rows.labels, student.score(test))
    ruled = training_scores(teacher, x, seed=seed)
    return found | {"rule": "in-sample" if ruled is None else ruled.how, "fit_s": fitting, "folds_s": folding}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--teacher", action="append", choices=list(TEACHERS), default=[])
    parser.add_argument("--regime", choices=("clean", "contaminated"), default="contaminated")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    paths, teachers = sets(data_folder(options.data)), options.teacher or list(TEACHERS)
    if options.quick:
        paths, teachers = [path for path in paths if path.stat().st_size < 20_000], teachers[-2:]
    log = Log("out_of_fold", ("set", "asked", "regime", "seed"), quick=options.quick)
    for seed in range(options.seeds):
        for name in teachers:
            for path in paths:
                key = {"set": path.stem, "asked": name, "regime": options.regime, "seed": seed}
                if not log.done(**key):
                    log.add(**key, **measure(path, options.regime, name, seed))
    summary = {}
    for name in teachers:
        lines = [line for line in log.lines if (line["asked"], line["regime"]) == (name, options.regime)]
        chosen = [{**line, "rule": line[line["rule"]]} for line in lines]
        summary[name] = {
            f"{who} {metric}": float(np.mean([line[who][metric] for line in chosen]))
            for who in ("teacher", "in-sample", "out-of-fold", "rule")
            for metric in ("auroc", "average_precision")
        } | {
            "folded by the rule": sum(line["rule"] == "out-of-fold" for line in lines),
            "fit_s": float(np.sum([line["fit_s"] for line in lines])),
            "folds_s": float(np.sum([line["folds_s"] for line in lines])),
        }
    table(
        (
            "teacher",
            "teacher",
            "AP",
            "in-sample",
            "AP",
            "folds",
            "AP",
            "rule",
            "AP",
            "folded",
            "fit s",
            "folds s",
        ),
        [(name, *found.values()) for name, found in summary.items()],
    )
    log.finish(summary)


if __name__ == "__main__":
    main()
