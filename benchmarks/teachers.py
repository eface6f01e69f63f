"""How well teachers find anomalies without labels: ours and PyOD's, on rows that they were not fitted on.

Protocol: the ADBench sets, clean and contaminated. A teacher of ours is fitted as the default call
`sw.distill(X, teacher=..., assume_normal=...)` fits it: on the feature matrix of the rows that remain when calibration rows have
been set aside. PyOD's detectors get all training rows, standardised, and their own defaults. `--known 5` measures ours once more
with that many of the training anomalies, drawn at random, confirmed (`known=`).

Every line names the commit and what made it, and stands until that changes: PyOD's version for a peer, the sources from table to
teacher for ours. `--nested` chooses one of CANDIDATES for each four sets by its mean on the other sixteen; candidates
other than `auto` are measured, and the choice is made, on seed 0.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from protocol import (
    TO_TEACHER,
    Log,
    Rows,
    arguments,
    data_folder,
    metrics,
    packed,
    sets,
    sources,
    split,
    table,
)
from sklearn.preprocessing import StandardScaler

from stillwatch.distillation.split import make_split
from stillwatch.features.pipeline import fit_features
from stillwatch.teachers import Regime, ask, fit_teacher, resolve_teacher
from stillwatch.teachers.auto import WEIGHTS, Auto
from stillwatch.teachers.known import Known

PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "KNN mean": ("knn.KNN", {"method": "mean"}),
    "KNN": ("knn.KNN", {}),
    "LOF": ("lof.LOF", {}),
    "IForest": ("iforest.IForest", {}),
    "MCD": ("mcd.MCD", {}),
    "CBLOF": ("cblof.CBLOF", {}),
    "GMM": ("gmm.GMM", {}),
    "INNE": ("inne.INNE", {}),
    "OCSVM": ("ocsvm.OCSVM", {}),
    "HBOS": ("hbos.HBOS", {}),
    "PCA": ("pca.PCA", {}),
    "ECOD": ("ecod.ECOD", {}),
    "COPOD": ("copod.COPOD", {}),
}
RIVALS = ("IForest", "KNN mean", "MCD", "CBLOF")  # regret is measured against the best of these, set by set
SEEDED = {"IForest", "MCD", "CBLOF", "GMM", "INNE"}


def without(regime: Regime, *members: int) -> Auto:
    """The automatic teacher, less some of its members."""
    return Auto(regime, weights=tuple(0.0 if i in members else w for i, w in enumerate(WEIGHTS[regime])))


# Settings of the automatic teacher among which `--nested` chooses; each makes an unfitted teacher from the regime.
CANDIDATES: dict[str, Callable[[Regime], Any]] = {
    "auto": lambda regime: "auto",
    "auto, 10 % aside": lambda regime: Auto(regime, set_aside=0.1),
    "auto, 20 % aside": lambda regime: Auto(regime, set_aside=0.2),
    "auto, 40 % aside": lambda regime: Auto(regime, set_aside=0.4),
    "auto, equal weights": lambda regime: Auto(regime, weights=(1.0,) * 6),
    "auto, no forest": lambda regime: without(regime, 0),
    "auto, no mixtures": lambda regime: without(regime, 2, 3),
    "auto, no distances": lambda regime: without(regime, 1),
    "auto, no relative distances": lambda regime: without(regime, 4),
    "auto, no balls": lambda regime: without(regime, 5),
}

METRICS = ("auroc", "average_precision")
LEFT_OUT = 4
KNOWN = " known="


def peer(rows: Rows, who: str, seed: int) -> np.ndarray:
    module, _, name = PEERS[who][0].partition(".")
    options = PEERS[who][1] | ({"random_state": seed} if who in SEEDED else {})
    detector = getattr(importlib.import_module(f"pyod.models.{module}"), name)(**options)
    scaler = StandardScaler().fit(rows.train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector.fit(scaler.transform(rows.train))
        return np.nan_to_num(detector.decision_function(scaler.transform(rows.test)), posinf=1e300)


def ours(rows: Rows, who: str, regime: str, seed: int) -> np.ndarray:
    """Scores of the teacher that the default call would learn from; `who` may end with how many anomalies are confirmed."""
    who, _, count = who.partition(KNOWN)
    known = confirmed(rows, int(count or 0), seed)
    packer, train = packed(rows.train)
    chosen = make_split(len(train), None, "all", rng=np.random.default_rng(seed), known=known).fit
    fit = train.take(chosen)
    features = fit_features(fit, packer.schema)
    may_assume: Regime = "normal" if regime == "clean" else "all"
    spec = CANDIDATES[who](may_assume) if who in CANDIDATES else who
    teacher = resolve_teacher(spec, regime=may_assume)
    if count:
        teacher = Known(teacher, known[chosen])
    teacher = fit_teacher(teacher, features.transform(fit), seed=seed)
    return ask(teacher, features.transform(packed(rows.test, packer)[1]))


def confirmed(rows: Rows, count: int, seed: int) -> np.ndarray:
    """(n,) 1 for anomalies of the training rows that somebody has confirmed, NaN for all others."""
    known = np.full(len(rows.train), np.nan)
    anomalies = np.flatnonzero(rows.train_labels == 1)
    known[np.random.default_rng([seed, count]).permutation(anomalies)[:count]] = 1
    return known


def made_by(line: dict[str, Any]) -> str:
    """What a line depends on: when it changes, the line is measured anew."""
    if line["who"] in PEERS:
        return f"pyod {version('pyod')}"
    return sources(TO_TEACHER)


def measure(path: Path, regime: str, seed: int, who: str) -> dict[str, Any]:
    rows = split(path, regime=regime, seed=seed)
    began = perf_counter()
    try:
        scores = peer(rows, who, seed) if who in PEERS else ours(rows, who, regime, seed)
    except Exception as exc:
        return {"failed": f"{type(exc).__name__}: {exc}"}
    return {**metrics(rows.labels, scores), "seconds": perf_counter() - began}


def grid(lines: list[dict[str, Any]], who: str, regime: str, metric: str, names: list[str]) -> np.ndarray:
    """(sets,) mean over seeds; NaN where it failed or was not measured."""

    def mean(name: str) -> float:
        found = [
            line.get(metric)
            for line in lines
            if (line["who"], line["regime"], line["set"]) == (who, regime, name)
        ]
        return float(np.mean(found)) if found and None not in found else float("nan")

    return np.array([mean(name) for name in names])


def regret(lines: list[dict[str, Any]], who: str, regime: str, names: list[str]) -> dict[str, Any]:
    """AUROC that the best rival of each set has over us; nothing where we are better."""
    best = np.nanmax([grid(lines, rival, regime, "auroc", names) for rival in RIVALS], axis=0)
    lost = best - grid(lines, who, regime, "auroc", names)
    return {
        "mean": float(np.maximum(lost, 0).mean()),
        "signed_mean": float(lost.mean()),
        "above_0.12": int((lost > 0.12).sum()),
        "largest": float(lost.max()),
        "set_of_the_largest": names[int(lost.argmax())],
    }


def nested(
    lines: list[dict[str, Any]], candidates: list[str], regime: str, names: list[str]
) -> dict[str, float]:
    """Each four sets by the candidate with the best mean AUROC plus average precision on the other sets."""
    table = {c: np.stack([grid(lines, c, regime, metric, names) for metric in METRICS]) for c in candidates}
    taken = np.full((len(METRICS), len(names)), np.nan)
    for first in range(0, len(names), LEFT_OUT):
        out = np.arange(len(names)) // LEFT_OUT == first // LEFT_OUT
        chosen = max(candidates, key=lambda c: table[c][:, ~out].sum())
        taken[:, out] = table[chosen][:, out]
    return dict(zip(METRICS, taken.mean(axis=1).tolist()))


def summarise(
    lines: list[dict[str, Any]], own: list[str], taught: list[str], names: list[str]
) -> dict[str, Any]:
    summary: dict[str, Any] = {"sets": len(names)}
    for regime in sorted({line["regime"] for line in lines}):
        here: dict[str, Any] = {}
        for who in [*own, *(taught if regime == "contaminated" else []), *PEERS]:
            figures = {metric: grid(lines, who, regime, metric, names) for metric in METRICS}
            here[who] = {metric: float(values.mean()) for metric, values in figures.items()}
            here[who]["seeds"] = len(
                {line["seed"] for line in lines if (line["who"], line["regime"]) == (who, regime)}
            )
            if who in own:
                here[who]["regret"] = regret(lines, who, regime, names)
                clustered = [name for name in names if name.endswith("_http")]
                here[who]["http"] = float(grid(lines, who, regime, "auroc", clustered).sum())
        for who in taught if regime == "contaminated" else []:
            plain = here[who.partition(KNOWN)[0]]
            here[who]["gain"] = {metric: here[who][metric] - plain[metric] for metric in METRICS}
        if len(own) > 1:
            first = [line for line in lines if line["seed"] == 0]
            here["nested"] = nested(first, own, regime, names)
            here["not_nested"] = {
                metric: float(grid(first, "auto", regime, metric, names).mean()) for metric in METRICS
            }
        summary[regime] = here
    return summary


def show(
    summary: dict[str, Any], lines: list[dict[str, Any]], own: list[str], taught: list[str], names: list[str]
) -> None:
    for regime in sorted({line["regime"] for line in lines}):
        print(f"\n{regime}")
        rows = []
        for name in names:
            best = max(grid(lines, rival, regime, "auroc", [name])[0] for rival in RIVALS)
            for who in [*own, *(taught if regime == "contaminated" else [])]:
                auroc, precision = (grid(lines, who, regime, metric, [name])[0] for metric in METRICS)
                rows.append((name, who, auroc, precision, best, best - auroc))
        table(("set", "teacher", "AUROC", "AP", "best rival", "regret"), rows)
        print()
        found = summary[regime]
        table(
            ("teacher", "seeds", "AUROC", "AP", "regret", "largest", "http"),
            [
                (
                    who,
                    found[who]["seeds"],
                    found[who]["auroc"],
                    found[who]["average_precision"],
                    *(
                        (found[who]["regret"]["mean"], found[who]["regret"]["largest"], found[who]["http"])
                        if who in own
                        else ("", "", "")
                    ),
                )
                for who in found
                if who in own or who in taught or who in PEERS
            ],
        )
        for who in taught if regime == "contaminated" else []:
            gain = found[who]["gain"]
            print(
                f"{who}: AUROC {gain['auroc']:+.4f}, AP {gain['average_precision']:+.4f} against none known"
            )
        if "nested" in found:
            print(
                f"seed 0, nested: AUROC {found['nested']['auroc']:.4f}, AP {found['nested']['average_precision']:.4f};"
                f" auto: {found['not_nested']['auroc']:.4f}, {found['not_nested']['average_precision']:.4f}"
            )


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--teacher", action="append", default=[], help="ours to measure; repeatable (auto)")
    parser.add_argument("--regime", choices=("clean", "contaminated"), default=None, help="one of the two")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peers", choices=("all", "none", "only"), default="all")
    parser.add_argument("--known", type=int, default=0, help="confirmed anomalies; contaminated only")
    parser.add_argument("--nested", action="store_true", help="measure every candidate, choose on other sets")
    options = parser.parse_args()
    paths, seeds = sets(data_folder(options.data)), options.seeds
    if options.quick:
        paths, seeds = [path for path in paths if path.stat().st_size < 60_000], 1
    named = list(dict.fromkeys(options.teacher)) or ["auto"]
    own = list(dict.fromkeys([*CANDIDATES, *named])) if options.nested else named
    taught = [f"{who}{KNOWN}{options.known}" for who in named if options.known]
    log = Log("teachers", ("set", "regime", "seed", "who"), quick=options.quick, made_by=made_by)
    wanted = ([] if options.peers == "only" else own + taught) + (
        [] if options.peers == "none" else list(PEERS)
    )
    regimes = [options.regime] if options.regime else ["clean", "contaminated"]
    for who in wanted:
        for seed in range(1 if who in CANDIDATES and who != "auto" else seeds):
            for regime in regimes:
                if who in taught and regime == "clean":
                    continue  # there are none to confirm
                for path in paths:
                    key = {"set": path.stem, "regime": regime, "seed": seed, "who": who}
                    if not log.done(**key):
                        log.add(**key, **measure(path, regime, seed, who))
    names = [path.stem for path in paths]
    lines = [line for line in log.lines if line["seed"] < seeds and line["regime"] in regimes]
    if options.peers != "only":
        summary = summarise(lines, own, taught, names)
        show(summary, lines, own, taught, names)
        log.finish(summary)


if __name__ == "__main__":
    main()
