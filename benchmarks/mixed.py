"""Tables of numbers and text: `auto` and its student beside PyOD's detectors on one-hot, standardised columns.

Protocol: hypothyroid and vehicle insurance are contaminated, 70 % of the shuffled rows train and 30 % test; NSL-KDD is clean, the
normal rows of its training file train and its test file tests. Ours is the default call on the raw table without its label. A
peer gets the same rows and kinds: missing numbers become the median, text becomes one indicator per value of training, numbers
are standardised (`numbers`), or numbers and indicators are (`all`). The best peer is picked by the labels of the test rows, which
nobody has in use: it is a bound, not an offer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from protocol import Log, arguments, data_folder, metrics, table
from pyod.models.cblof import CBLOF
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from pyod.models.gmm import GMM
from pyod.models.hbos import HBOS
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.lof import LOF
from pyod.models.mcd import MCD
from pyod.models.pca import PCA
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import stillwatch as sw
from stillwatch.table.pack import Packer, Rows
from stillwatch.table.read import open_source

FloatArray = NDArray[np.float64]
SEED = 0
QUICK_ROWS = 1_500

PEERS: dict[str, Callable[[], Any]] = {
    "IForest": lambda: IForest(random_state=SEED),
    "KNN": KNN,
    "HBOS": HBOS,
    "ECOD": ECOD,
    "MCD": lambda: MCD(random_state=SEED),
    "CBLOF": lambda: CBLOF(random_state=SEED),
    "GMM": lambda: GMM(random_state=SEED),
    "LOF": LOF,
    "PCA": lambda: PCA(random_state=SEED),
    "COPOD": COPOD,
}
OURS = ("auto", "student")
ENCODINGS = ("numbers", "all")


class Task(NamedTuple):
    """Raw rows without their label; label 1 = anomaly."""

    train: pa.Table
    test: pa.Table
    labels: NDArray[np.int64]
    ignore: list[str]
    clean: bool


class Source(NamedTuple):
    file: str
    label: str
    ignore: list[str]
    test: str | None = None


SETS = {
    "hypothyroid": Source("medical/hypothyroid.csv.gz", "anomaly", ["diagnosis"]),
    "vehicle_fraud": Source("finance/vehicle_fraud.csv.gz", "FraudFound_P", ["PolicyNumber"]),
    "nsl_kdd": Source(
        "network/nsl_kdd_train.csv.gz", "anomaly", ["attack"], test="network/nsl_kdd_test.csv.gz"
    ),
}


def read(path: Path, label: str) -> tuple[pa.Table, NDArray[np.int64]]:
    rows = pa.Table.from_batches(open_source(path).batches())
    return rows.drop_columns(label), rows[label].to_numpy().astype(np.int64)


def task(folder: Path, name: str, *, quick: bool) -> Task:
    source, rng = SETS[name], np.random.default_rng(SEED)
    rows, labels = read(folder / source.file, source.label)
    if source.test:
        rows = rows.take(rng.permutation(np.flatnonzero(labels == 0)))
        test, labels = read(folder / source.test, source.label)
        order = rng.permutation(len(labels))
        train, test, labels = rows, test.take(order), labels[order]
    else:
        order = rng.permutation(len(labels))
        cut = int(0.7 * len(order))
        train, test, labels = rows.take(order[:cut]), rows.take(order[cut:]), labels[order[cut:]]
    most = QUICK_ROWS if quick else None
    return Task(train[:most], test[:most], labels[:most], source.ignore, clean=source.test is not None)


def ours(data: Task) -> dict[str, dict[str, Any]]:
    began = perf_counter()
    d = sw.distill(data.train, ignore=data.ignore, teacher="auto", assume_normal=data.clean)
    seconds = perf_counter() - began
    return {
        "auto": metrics(data.labels, d.teacher_score(data.test)) | {"seconds": seconds},
        "student": metrics(data.labels, d.scorer.score(data.test))
        | {"seconds": seconds, "bytes": len(d.model)},
    }


def encoded(data: Task, encoding: str) -> tuple[FloatArray, FloatArray]:
    """Training and test rows as PyOD takes them."""
    packer = Packer(sw.inspect(data.train, ignore=data.ignore))
    train, test = packer.table(data.train), packer.table(data.test)
    fill, scale = SimpleImputer(strategy="median").fit(train.numbers), StandardScaler()
    values = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(train.texts)
    scale.fit(fill.transform(train.numbers))

    def matrix(rows: Rows) -> FloatArray:
        return np.hstack([scale.transform(fill.transform(rows.numbers)), values.transform(rows.texts)])

    x, z = matrix(train), matrix(test)
    if encoding == "all":
        every = StandardScaler().fit(x)
        x, z = every.transform(x), every.transform(z)
    return x, z


def peer(data: Task, name: str, encoding: str) -> dict[str, Any]:
    x, z = encoded(data, encoding)
    began = perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = PEERS[name]().fit(x).decision_function(z)
        if not np.isfinite(scores).all():
            return {"failed": f"{(~np.isfinite(scores)).sum():,} scores are not finite"}
    except Exception as exc:
        return {"failed": f"{type(exc).__name__}: {exc}"}
    return metrics(data.labels, scores) | {"seconds": perf_counter() - began, "features": x.shape[1]}


def run(log: Log, folder: Path, *, quick: bool) -> None:
    for name in SETS:
        data = task(folder, name, quick=quick)
        about = {
            "train": len(data.train),
            "test": len(data.test),
            "anomalies": int(data.labels.sum()),
            "seed": SEED,
        }
        if not all(log.done(set=name, detector=who, encoding="raw") for who in OURS):
            for who, figures in ours(data).items():
                log.add(set=name, detector=who, encoding="raw", **about, **figures)
        for encoding in ENCODINGS:
            for who in PEERS:
                if not log.done(set=name, detector=who, encoding=encoding):
                    log.add(set=name, detector=who, encoding=encoding, **about, **peer(data, who, encoding))


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for name in SETS:
        found = [line for line in lines if line["set"] == name]
        peers = [line for line in found if line["encoding"] != "raw" and "auroc" in line]
        by_name = {line["detector"]: line for line in found if line["encoding"] == "raw"}
        summary[name] = {"failed": [line["detector"] for line in found if "failed" in line]}
        for metric in ("auroc", "average_precision"):
            ranked = sorted(peers, key=lambda line: -line[metric])
            best = ranked[0]
            summary[name][metric] = {
                "best_peer": f"{best['detector']} ({best['encoding']})",
                "best_peer_value": best[metric],
                "median_peer": float(np.median([line[metric] for line in peers])),
                **{who: by_name[who][metric] for who in OURS},
                **{f"{who}_minus_best": by_name[who][metric] - best[metric] for who in OURS},
                "peers_above_auto": sum(line[metric] > by_name["auto"][metric] for line in peers),
                "peers": len(peers),
            }
    summary["mean"] = dict(_means(lines))
    return summary


def _means(lines: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, float]]]:
    """Each detector over all sets; one that failed on a set has no mean."""
    for key in sorted({(line["detector"], line["encoding"]) for line in lines}):
        found = [line for line in lines if (line["detector"], line["encoding"]) == key and "auroc" in line]
        if len(found) == len(SETS):
            yield (
                " ".join(key),
                {m: float(np.mean([line[m] for line in found])) for m in ("auroc", "average_precision")},
            )


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    folder = data_folder(options.data)
    log = Log("mixed", ("set", "detector", "encoding"), quick=options.quick)
    run(log, folder, quick=options.quick)
    table(
        ("set", "detector", "columns", "AUROC", "AP", "s"),
        [
            (
                line["set"],
                line["detector"],
                line["encoding"],
                line.get("auroc", "failed"),
                line.get("average_precision", line.get("failed", "")),
                f"{line.get('seconds', 0):.1f}",
            )
            for line in log.lines
        ],
    )
    summary = summarise(log.lines)
    for name in SETS:
        for metric in ("auroc", "average_precision"):
            s = summary[name][metric]
            print(
                f"{name} {metric}: auto {s['auto']:.4f} ({s['auto_minus_best']:+.4f}), student {s['student']:.4f}; "
                f"best peer {s['best_peer']} {s['best_peer_value']:.4f}, {s['peers_above_auto']} of {s['peers']} above auto"
            )
    ranked = sorted(summary["mean"].items(), key=lambda item: -item[1]["auroc"])
    table(
        ("mean over sets", "AUROC", "AP"), [(name, m["auroc"], m["average_precision"]) for name, m in ranked]
    )
    log.finish(summary)


if __name__ == "__main__":
    main()
