"""Do further features of high-cardinality text help a teacher: a frequency code, or hashed buckets?

Protocol: mixed sets, each as it is and with one more text column that joins all of its texts (hundreds to thousands of values).
A value gets a code of its own if it is one of the 64 most frequent of its column, as in the product, or one of 8. Added for the
columns with more values than that: `frequency` = log of how often training saw the value (0 below 5 times), scaled to a standard
deviation of 0.5; `hashed` = 16 buckets, one-hot. Quality of the teacher on rows that it has not seen, mean over seeds.
"""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from protocol import Log, arguments, data_folder, metrics, table

from stillwatch.features import category
from stillwatch.features.pipeline import fit_features
from stillwatch.table.pack import Packer, Rows
from stillwatch.table.read import open_source
from stillwatch.table.schema import Column, Schema, infer_schema
from stillwatch.teachers.fit import fit_teacher
from stillwatch.teachers.resolve import resolve_teacher

SETS = {
    "nsl_kdd": ("network/nsl_kdd_train.csv.gz", "anomaly", ["attack"]),
    "vehicle_fraud": ("finance/vehicle_fraud.csv.gz", "FraudFound_P", []),
    "hypothyroid": ("medical/hypothyroid.csv.gz", "anomaly", ["diagnosis"]),
}
MOST_ROWS = 3_000
BUCKETS = 16


def read(
    path: Path, label: str, ignore: list[str], *, joined: bool
) -> tuple[Schema, Rows, NDArray[np.float64]]:
    source = open_source(path)
    schema = infer_schema(source, label=label, ignore=ignore)
    packer = Packer(schema)
    batches = list(source.batches())
    rows = Rows.concat(map(packer.table, batches))
    labels = np.concatenate([packer.label(batch) for batch in batches])
    if joined:
        column = np.array(["|".join(row) for row in rows.texts], dtype=object)[:, None]
        rows = Rows(rows.numbers, np.concatenate([rows.texts, column], axis=1))
        schema = Schema(columns=(*schema.columns, Column(name="joined", kind="category")))
    return schema, rows, labels


def extra(train: Rows, rows: Rows, how: str) -> NDArray[np.float32]:
    blocks = [np.zeros((len(rows), 0), dtype=np.float32)]
    for j in range(train.texts.shape[1]):
        counts = Counter(train.texts[:, j])
        if how == "none" or len(counts) <= category.MOST_FREQUENT:
            continue
        if how == "frequency":
            log = {value: np.log(count) for value, count in counts.items() if count >= category.LEAST_SEEN}
            scale = np.std([log.get(value, 0.0) for value in train.texts[:, j]]) or 1.0
            blocks.append(
                np.array([[log.get(v, 0.0) / (2 * scale)] for v in rows.texts[:, j]], dtype=np.float32)
            )
        else:
            bucket = [zlib.crc32(value.encode()) % BUCKETS for value in rows.texts[:, j]]
            blocks.append(np.eye(BUCKETS, dtype=np.float32)[bucket])
    return np.concatenate(blocks, axis=1)


def measure(folder: Path, line: dict[str, Any]) -> dict[str, Any]:
    path, label, ignore = SETS[line["set"]]
    schema, rows, labels = read(folder / path, label, ignore, joined=line["joined"])
    rng = np.random.default_rng(line["seed"])
    normal, anomalies = (
        rng.permutation(np.flatnonzero(labels == 0)),
        rng.permutation(np.flatnonzero(labels == 1)),
    )
    half = min(len(normal) // 2, MOST_ROWS)
    test = np.concatenate([normal[half : 2 * half], anomalies[: MOST_ROWS // 3]])
    train = normal[:half]
    if line["regime"] == "all":  # 5 % of the training rows are anomalies
        train = np.concatenate([train, anomalies[MOST_ROWS // 3 :][: half // 20]])
    fit, unseen = rows.take(train), rows.take(test)
    category.MOST_FREQUENT = line["codes"]
    features = fit_features(fit, schema)
    x, z = (
        np.concatenate([features.transform(part), extra(fit, part, line["added"])], axis=1)
        for part in (fit, unseen)
    )
    teacher = fit_teacher(resolve_teacher(line["teacher"], regime=line["regime"]), x, seed=line["seed"])
    return metrics(labels[test].astype(np.int64), teacher.score(z)) | {"features": x.shape[1]}


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    folder = data_folder(options.data)
    keys = ("set", "joined", "codes", "regime", "teacher", "added", "seed")
    log = Log("cardinality", keys, quick=options.quick)
    for seed in range(1 if options.quick else 3):
        for name in SETS:
            for joined, codes in ((False, 64), (False, 8), (True, 64)):
                for regime in ("normal", "all"):
                    for teacher in ("knn", "auto"):
                        for added in ("none", "frequency", "hashed"):
                            values = (name, joined, codes, regime, teacher, added, seed)
                            line = dict(zip(keys, values))
                            if not log.done(**line):
                                log.add(**line, **measure(folder, line))
    rows, differences = [], {}
    groups = sorted({tuple(line[key] for key in keys[:-2]) for line in log.lines})
    for group in groups:
        means = {}
        for added in ("none", "frequency", "hashed"):
            found = [
                line
                for line in log.lines
                if (*(line[key] for key in keys[:-2]), line["added"]) == (*group, added)
            ]
            means[added] = [
                float(np.mean([line[m] for line in found])) for m in ("auroc", "average_precision")
            ]
        rows.append([*map(str, group), *(value for pair in means.values() for value in pair)])
        differences[group] = means
    heads = [
        *keys[:-2],
        *(f"{added} {m}" for added in ("none", "frequency", "hashed") for m in ("AUROC", "AP")),
    ]
    table(heads, rows)
    summary = {
        added: {
            m: float(np.mean([means[added][i] - means["none"][i] for means in differences.values()]))
            for i, m in enumerate(("auroc", "average_precision"))
        }
        for added in ("frequency", "hashed")
    }
    print(summary)
    log.finish({"mean change": summary})


if __name__ == "__main__":
    main()
