"""Does the false-alarm rate that is asked for come about? Split conformal thresholds on 20 sets, clean and contaminated.

Protocol: one distillation a set (kNN teacher, a small student); 20 random splits of rows that it never saw into calibration and
test rows. *clean*: half of the normal rows train; the other half is split. *contaminated*: 5 % of all rows are anomalies;
half of them train, the other half is split, labels unseen. At each rate the number of false alarms is compared with its 95 %
beta-binomial interval: the threshold is random, too, so a binomial one would be wrong. Given the scores, splits are independent,
and where each lies inside with a chance of 95 %, fewer than 19 of 20 do so on one set in four. So 1,000 splits of the same scores
stand beside them (`many`), and the exact chance of the interval (`chance`). Benjamini-Hochberg at 10 % judges the test rows
together with all anomalies. The model's own thresholds are judged on all unseen normal rows. Peer: the quantile of the student's
own training scores, as the `contamination` of PyOD and scikit-learn sets it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from protocol import Log, arguments, data_folder, sets, table
from scipy.stats import betabinom

import stillwatch as sw
from stillwatch.calibration.conformal import calibrate, finest_rate, p_values, threshold
from stillwatch.calibration.contamination import estimated_rate
from stillwatch.calibration.discovery import benjamini_hochberg, discoveries
from stillwatch.evaluation.quality import oracle_recall

RATES = (0.001, 0.01, 0.05)
SPLITS = 20
MANY = 1_000
FDR = 0.1
PLANTED = 0.05
MOST_NORMAL = 20_000


def measure(path: Path, regime: str, seed: int) -> dict[str, Any]:
    with np.load(path) as stored:
        x, y = stored["X"].astype(np.float64), stored["y"].ravel().astype(np.int64)
    rng = np.random.default_rng(seed)
    normal, anomalies = rng.permutation(np.flatnonzero(y == 0)), rng.permutation(np.flatnonzero(y == 1))
    normal, anomalies = normal[:MOST_NORMAL], anomalies[:MOST_NORMAL]
    if regime == "clean":
        half = len(normal) // 2
        train, unseen = normal[:half], normal[half:]
    else:
        rows = planted(normal, anomalies, rng)
        train, unseen = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    student = sw.MLP(hidden=(64, 64), steps=600)
    d = sw.distill(x[train], teacher="knn", student=student, assume_normal=regime == "clean", seed=seed)
    scores, labels = d.scorer.score(x[unseen]), y[unseen]
    found = {
        "rows": len(unseen),
        "distinct": len(np.unique(scores)) / len(scores),
        "rates": {str(rate): runs(scores, labels, rate, rng) for rate in RATES},
        "approximate": d.manifest.calibration.approximate,
        "own": {str(rate): own(d.scorer, scores[labels == 0], rate) for rate in RATES},
        "trained_on": {
            str(rate): share(scores[labels == 0], float(np.quantile(d.scorer.score(x[train]), 1 - rate)))
            for rate in RATES
        },
    }
    if regime == "clean":
        found["discoveries"] = batches(scores, d.scorer.score(x[anomalies]), rng)
    return found


def planted(
    normal: NDArray[np.int64], anomalies: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of which a share `PLANTED` are anomalies, as many as there are, in random order."""
    odds = PLANTED / (1 - PLANTED)
    kept = min(len(normal), round(len(anomalies) / odds))
    return rng.permutation(np.concatenate([normal[:kept], anomalies[: round(kept * odds)]]))


def runs(
    scores: NDArray[np.float32], labels: NDArray[np.int64], rate: float, rng: np.random.Generator
) -> dict[str, Any] | None:
    """False alarms among normal test rows of each split; None where the calibration rows are too few for the rate."""
    size = len(scores) // 2
    allowed = int(np.floor(rate * (size + 1) + 1e-9))
    if allowed < 1:
        return None
    shares, inside, low = [], [], []
    for _ in range(MANY):
        order = rng.permutation(len(scores))
        calibration, test = order[:size], order[size:]
        bar = np.float32(threshold(calibrate(scores[calibration], approximate=False), rate))
        judged = scores[test][labels[test] == 0]
        alarms = int((judged >= bar).sum())
        least, most, chance = interval(len(judged), allowed, size + 1 - allowed)
        inside.append(least <= alarms <= most)
        low.append(alarms < least)
        shares.append(alarms / len(judged))
    return {
        "inside": int(np.sum(inside[:SPLITS])),
        "low": int(np.sum(low[:SPLITS])),
        "mean": float(np.mean(shares[:SPLITS])),
        "calibration": size,
        "many": {
            "inside": float(np.mean(inside)),
            "low": float(np.mean(low)),
            "mean": float(np.mean(shares)),
        },
        "chance": chance,
    }


@lru_cache(maxsize=1_000)
def interval(rows: int, a: int, b: int) -> tuple[float, float, float]:
    """95 % interval of a beta-binomial count, and the exact chance that the count lies in it."""
    count = betabinom(rows, a, b)
    least, most = count.ppf([0.025, 0.975])
    return least, most, float(count.cdf(most) - count.cdf(least - 1))


def own(scorer: sw.Scorer, scores: NDArray[np.float32], rate: float) -> float | None:
    """False alarms at the model's own threshold, which for small tables is cross-conformal; None where it has none so fine."""
    try:
        return float((scores >= np.float32(threshold(scorer.manifest.calibration, rate))).mean())
    except sw.CalibrationError:
        return None


def share(scores: NDArray[np.float32], bar: float) -> float:
    return float((scores > bar).mean())


def batches(
    normal: NDArray[np.float32], anomalous: NDArray[np.float32], rng: np.random.Generator
) -> dict[str, Any]:
    """Benjamini-Hochberg on the test rows of each split and all anomalies."""
    false, power, oracle, fewest = [], [], [], []
    size = len(normal) // 2
    for _ in range(SPLITS):
        order = rng.permutation(len(normal))
        calibration = calibrate(normal[order[:size]], approximate=False)
        scores = np.concatenate([normal[order[size:]], anomalous])
        labels = np.repeat([0.0, 1.0], [len(normal) - size, len(anomalous)])
        p = p_values(calibration, scores)
        alert = benjamini_hochberg(p, FDR)
        fewest.append(discoveries(p, alert, FDR, finest_rate(calibration)).fewest)
        false.append(float((alert & (labels == 0)).sum() / max(alert.sum(), 1)))
        power.append(float(alert[labels == 1].mean()))
        oracle.append(oracle_recall(scores, labels, FDR))
    return {
        "anomalies": len(anomalous),
        "fdr": float(np.mean(false)),
        "power": float(np.mean(power)),
        "oracle": float(np.mean(oracle)),
        "fewest": float(np.mean(fewest)),
    }


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    clean = [line for line in lines if line["regime"] == "clean"]
    contaminated = [line for line in lines if line["regime"] == "contaminated"]
    for rate in RATES:
        found = [line["rates"][str(rate)] for line in clean if line["rates"][str(rate)]]
        if found:
            means = np.array([one["mean"] for one in found])
            summary[f"clean_{rate}"] = {
                "sets": len(found),
                "inside": sum(one["inside"] for one in found) / (SPLITS * len(found)),
                "inside_or_low": sum(one["inside"] + one["low"] for one in found) / (SPLITS * len(found)),
                "chance": float(np.mean([one["chance"] for one in found])),
                "inside_of_many": float(np.mean([one["many"]["inside"] for one in found])),
                "fewest_inside_of_many_on_a_set": min(one["many"]["inside"] for one in found),
                "fewest_inside_or_low_of_many_on_a_set": min(
                    one["many"]["inside"] + one["many"]["low"] for one in found
                ),
                "sets_at_0.92_of_many": sum(one["many"]["inside"] >= 0.92 for one in found),
                "mean_rate": float(means.mean()),
                "standard_error": error(means),
                "highest_mean_rate_of_many_on_a_set": max(one["many"]["mean"] for one in found),
                "mean_rate_of_training_quantile": float(
                    np.mean([line["trained_on"][str(rate)] for line in clean])
                ),
            }
        found = [line["rates"][str(rate)] for line in contaminated if line["rates"][str(rate)]]
        if found:
            means = np.array([one["mean"] for one in found])
            estimate = estimated_rate(rate)
            summary[f"contaminated_{rate}"] = {
                "sets": len(found),
                "promise": rate / (1 - PLANTED),
                "mean_rate": float(means.mean()),
                "standard_error": error(means),
                "highest_mean_rate_of_a_set": float(means.max()),
                "highest_mean_rate_of_many_on_a_set": max(one["many"]["mean"] for one in found),
                "estimate": estimate,
                "estimate_within_factor_2": int(((means >= estimate / 2) & (means <= 2 * estimate)).sum()),
            }
    for approximate, name in ((False, "split"), (True, "cross")):
        for rate in RATES:
            found = [line["own"][str(rate)] for line in clean if line["approximate"] == approximate]
            means = np.array([one for one in found if one is not None])
            if len(means):
                summary[f"{name}_conformal_{rate}"] = {
                    "sets": len(means),
                    "mean_rate": float(means.mean()),
                    "standard_error": error(means),
                }
    judged = [line["discoveries"] for line in clean]
    if judged:
        rates = np.array([one["fdr"] for one in judged])
        power, oracle = (np.array([one[name] for one in judged]) for name in ("power", "oracle"))
        caught = oracle * [one["anomalies"] for one in judged]
        reach = caught >= [one["fewest"] for one in judged]
        summary["benjamini_hochberg"] = {
            "sets": len(judged),
            "fdr": float(rates.mean()),
            "standard_error": error(rates),
            "power": float(power.mean()),
            "oracle_power": float(oracle.mean()),
            "power_of_oracle": float(power.mean() / oracle.mean()),
            "sets_at_0.8_of_oracle": int((power >= 0.8 * oracle).sum()),
            "sets_where_oracle_alarms_reach_fewest": int(reach.sum()),
            "of_these_at_0.8_of_oracle": int((power >= 0.8 * oracle)[reach].sum()),
        }
    return summary


def error(means: NDArray[np.float64]) -> float:
    """Standard error of a mean over sets."""
    return float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    paths = sets(data_folder(options.data))
    if options.quick:
        paths = [path for path in paths if path.stat().st_size < 60_000]
    log = Log("alerts", ("set", "regime", "seed"), quick=options.quick)
    for regime in ("clean", "contaminated"):
        for path in paths:
            key = {"set": path.stem, "regime": regime, "seed": 0}
            if not log.done(**key):
                log.add(**key, **measure(path, regime, 0))
    table(
        (
            "set",
            "regime",
            "rows",
            "distinct",
            *(f"{rate:g}" for rate in RATES),
            "inside",
            "FDR",
            "power",
            "oracle",
        ),
        [
            (
                line["set"],
                line["regime"],
                line["rows"],
                line["distinct"],
                *((line["rates"][str(rate)] or {"mean": "-"})["mean"] for rate in RATES),
                "/".join(str((line["rates"][str(rate)] or {"inside": "-"})["inside"]) for rate in RATES),
                *(line.get("discoveries", {}).get(name, "-") for name in ("fdr", "power", "oracle")),
            )
            for line in log.lines
        ],
    )
    summary = summarise(log.lines)
    for name, figures in summary.items():
        print(name, {key: round(value, 5) for key, value in figures.items()})
    log.finish(summary)


if __name__ == "__main__":
    main()
