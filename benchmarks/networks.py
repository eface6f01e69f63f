"""Networks into networks: an intrusion classifier, an autoencoder, and detectors that compare features.

(a) NSL-KDD with 1 % of the attacks kept in training: a 4 x 512 classifier, trained on the labels, teaches 2 x 32 by the default
    call; the peer is the same 2 x 32, from the same initial weights, on the labels alone. Judged on the rows left out of the
    training file (`rest`) and on the test file (`shifted`, which holds attacks that training never saw). The teacher was trained
    with care: noise on the rows, weight decay, stopped early.
(plain) the same with a teacher that was not; its logits are twice as large.
(b) card payments, clean split: an autoencoder of 4 x 256, trained on normal rows, teaches a scorer of 2 x 40 by regression; the
    peer is the same scorer taught on the training rows as they are (`jitter=0`).
(speed) networks of those shapes in onnxruntime, one core, batches of 4,096 rows; PyTorch's one-row figure stands apart.
(c) scikit-learn's digits, each class in turn normal, half of it in training: the teacher is drawn at random (`nothing`) or has
    learnt to tell rotations and fill in masked pixels of the normal class (`pretext`). The peer is kNN on pixels, k = 5.

Figures in brackets are 90 % intervals of the mean of paired differences (Student's t).
"""

from __future__ import annotations

import copy
import gzip
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch
from protocol import Log, arguments, data_folder, metrics, table
from scipy.stats import t as student_t
from torch import Tensor, nn
from torch.nn import functional

from stillwatch.artifact.parity import open_session
from stillwatch.evaluation.speed import measure_speed
from stillwatch.networks import (
    AnomalyScore,
    Hint,
    ReconstructionError,
    TensorBatches,
    distill_discrepancy,
    distill_network,
    export_network,
    network_model,
    read_table,
)
from stillwatch.networks.batches import Batch
from stillwatch.networks.report import network_speed, parameters

CASES = {"a": range(10), "b": range(5), "c": range(10), "speed": range(1), "plain": range(10)}
BATCH_ROWS = 4_096


class Standardise(nn.Module):
    """Columns brought to mean 0 and deviation 1."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", rows.mean(dim=0))
        self.register_buffer("scale", rows.std(dim=0).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale


def layers(*widths: int) -> nn.Sequential:
    parts = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*parts[:-1])


def fit(model: nn.Module, loss: Any, *, steps: int, rate: float, decay: float = 1e-4) -> nn.Module:
    """A teacher's own training, as its owner would have done it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def scores(model: nn.Module, x: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return AnomalyScore(model).eval()(x).numpy()


def read(path: Path) -> pa.Table:
    with gzip.open(path) as file:
        return pyarrow.csv.read_csv(file)


def intrusion(folder: Path, seed: int, quick: bool, *, careful: bool) -> dict[str, Any]:
    train, test = (read(folder / "network" / f"nsl_kdd_{part}.csv.gz") for part in ("train", "test"))
    labels, rng = train["anomaly"].to_numpy(), np.random.default_rng(seed)
    normal, attacks = (rng.permutation(np.flatnonzero(labels == kind)) for kind in (0, 1))
    most, few = int(0.7 * len(normal)), round(0.01 * len(attacks))
    kept, rest = (
        np.concatenate([normal[:most], attacks[:few]]),
        np.concatenate([normal[most:], attacks[few:]]),
    )
    rows = read_table(train.take(np.sort(kept)), label="anomaly", ignore=["attack"], seed=seed)
    x, y = rows.matrix(rows.learn), torch.from_numpy(rows.labels[rows.learn]).float()
    weight = (y == 0).sum() / (y == 1).sum()

    def loss(model: nn.Module) -> Tensor:
        chosen = torch.randint(len(x), (256,))
        seen = x[chosen] + (0.2 * torch.randn(256, x.shape[1]) if careful else 0)
        return functional.binary_cross_entropy_with_logits(
            model(seen)[:, 0], y[chosen], pos_weight=weight if careful else None
        )

    torch.manual_seed(seed)
    own = (
        {"steps": 400, "rate": 5e-4, "decay": 1e-2} if careful else {"steps": 600, "rate": 1e-3, "decay": 0.0}
    )
    teacher = fit(layers(rows.columns, *[512] * 4, 1), loss, **own | ({"steps": 20} if quick else {}))
    student = layers(rows.columns, 32, 32, 1)
    done = distill_network(
        teacher,
        student,
        rows.training(),
        validation=rows.validation(),
        seed=seed,
        **({"epochs": 2} if quick else {}),
    )
    model = network_model(rows, done, seed=seed)
    found: dict[str, Any] = {}
    for name, part in (("rest", train.take(rest)), ("shifted", test)):
        truth, z = part["anomaly"].to_numpy(), rows.encode(part)
        found[name] = {
            "teacher": metrics(truth, scores(teacher, z)),
            "student": metrics(truth, scores(student, z)),
            "labels_alone": metrics(truth, scores(done.labels_alone.network, z)),
            "artifact": metrics(truth, model.scorer.score(part)),
        }
    return found | {
        "training": [len(rows.learn), int(y.sum())],
        "parameters": [parameters(teacher), parameters(student)],
        "parity": model.manifest.parity,
        "bytes": len(model.model),
    }


def payments(folder: Path, seed: int, quick: bool) -> dict[str, Any]:
    data = read(folder / "finance" / "creditcard.csv.gz")
    labels, rng = data["Class"].to_numpy(), np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(labels == 0))
    half = len(normal) // 2
    rows = read_table(data.take(np.sort(normal[:half])), label="Class", seed=seed)
    part = data.take(np.concatenate([normal[half:], np.flatnonzero(labels == 1)]))
    truth, z = part["Class"].to_numpy(), rows.encode(part)
    x = rows.matrix(rows.learn)

    torch.manual_seed(seed)
    teacher, student = payment_networks(x)
    unmoved = copy.deepcopy(student)
    fit(
        teacher,
        lambda model: model(x[torch.randint(len(x), (256,))]).mean(),
        steps=20 if quick else 3_000,
        rate=1e-3,
    )
    own: dict[str, Any] = {"loss": "regression", "seed": seed} | ({"epochs": 2} if quick else {})
    done = distill_network(teacher, student, rows.training(), validation=rows.validation(), **own)
    distill_network(teacher, unmoved, rows.training(), validation=rows.validation(), jitter=0, **own)
    model = network_model(rows, done, seed=seed)
    return {
        "teacher": metrics(truth, scores(teacher, z)),
        "student": metrics(truth, scores(student, z)),
        "without_jitter": metrics(truth, scores(unmoved, z)),
        "artifact": metrics(truth, model.scorer.score(part)),
        "training": len(x),
        "parameters": [parameters(teacher), parameters(student)],
        "parity": model.manifest.parity,
    }


def speeds() -> dict[str, Any]:
    """Time does not depend on the weights, so these are drawn."""
    width = 30
    x = torch.randn(BATCH_ROWS, width)
    teacher, student = payment_networks(x)
    return {
        "onnx_rows_per_second": graph_speeds([teacher, student], width),
        "torch_one_row_us": [network_speed(model, Batch(x, None)).one_p50_us for model in (teacher, student)],
        "parameters": [parameters(teacher), parameters(student)],
    }


def payment_networks(x: Tensor) -> tuple[nn.Module, nn.Module]:
    width = x.shape[1]
    middle = nn.Sequential(layers(width, 256, 256, 8), layers(8, 256, 256, width))
    teacher = nn.Sequential(Standardise(x), ReconstructionError(middle))
    return teacher, nn.Sequential(Standardise(x), layers(width, 40, 40, 1))


def graph_speeds(models: list[nn.Module], width: int) -> list[float]:
    """Rows a second of each in onnxruntime, taking turns: a busy moment hits both."""
    x = np.random.default_rng(0).normal(size=(BATCH_ROWS, width)).astype(np.float32)
    sessions = [open_session(export_network(model, width).model) for model in models]
    rounds = [
        [
            measure_speed(None, lambda s=s: s.run(["score"], {"num": x}), rows=BATCH_ROWS, seconds=0.2)
            for s in sessions
        ]
        for _ in range(5)
    ]
    return [float(np.median([r[i].rows_per_second for r in rounds])) for i in range(len(models))]


class Pretext(nn.Module):
    """Tells by which quarter turn an image was rotated, and fills in masked pixels; its features teach."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128))
        self.turn, self.pixels = nn.Linear(128, 4), nn.Linear(128, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)

    def loss(self, x: Tensor) -> Tensor:
        rows = x[torch.randint(len(x), (64,))]
        turns = torch.randint(4, (64,))
        images = rows.reshape(-1, 8, 8)
        turned = torch.stack([torch.rot90(i, int(k)) for i, k in zip(images, turns)]).reshape(-1, 64)
        masked = rows * (torch.rand_like(rows) > 0.3)
        told = functional.cross_entropy(self.turn(functional.relu(self(turned))), turns)
        return told + (self.pixels(functional.relu(self(masked))) - rows).square().mean() * 10


def digits(normal: int, quick: bool) -> dict[str, Any]:
    from sklearn.datasets import load_digits
    from sklearn.neighbors import NearestNeighbors

    x, y = load_digits(return_X_y=True)
    x, rng = (x / 16).astype(np.float32), np.random.default_rng(0)
    rows = rng.permutation(np.flatnonzero(y == normal))
    half = len(rows) // 2
    train, test = x[rows[:half]], np.concatenate([x[rows[half:]], x[y != normal]])
    truth = np.concatenate([np.zeros(len(rows) - half), np.ones(int((y != normal).sum()))]).astype(np.int64)
    learn, held = torch.from_numpy(train[:-10]), torch.from_numpy(train[-10:])
    found = {
        "knn": metrics(truth, NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0].mean(axis=1))
    }
    for name in ("nothing", "pretext"):
        torch.manual_seed(normal)
        teacher = Pretext()
        if name == "pretext":
            fit(teacher, lambda model: model.loss(learn), steps=20 if quick else 500, rate=2e-3)
        detector = distill_discrepancy(
            teacher,
            layers(64, 64, 64, 128),
            TensorBatches(learn, size=32),
            validation=TensorBatches(held, shuffle=False),
            hints=(Hint("body", ""),),
            epochs=4 if quick else 200,
            patience=40,
            seed=normal,
        )
        found[name] = metrics(truth, scores(detector, torch.from_numpy(test)))
    return found


def measure(case: str, number: int, folder: Path, quick: bool) -> dict[str, Any]:
    began = perf_counter()
    if case == "speed":
        found = speeds()
    elif case == "c":
        found = digits(number, quick)
    elif case == "b":
        found = payments(folder, number, quick)
    else:
        found = intrusion(folder, number, quick, careful=case == "a")
    return found | {"seconds": perf_counter() - began}


def interval(differences: list[float]) -> list[float]:
    """Mean, and the ends of its 90 % interval."""
    d = np.array(differences)
    if len(d) < 2:
        return [float(d.mean())] * 3
    half = student_t.ppf(0.95, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
    return [float(d.mean()), float(d.mean() - half), float(d.mean() + half)]


def summarise(measured: list[dict[str, Any]]) -> dict[str, Any]:
    by_case = {case: [line for line in measured if line["case"] == case] for case in CASES}
    summary: dict[str, Any] = {}
    for case in ("a", "plain"):
        if not (lines := by_case[case]):
            continue
        for part in ("rest", "shifted"):
            ap = {who: [line[part][who]["average_precision"] for line in lines] for who in lines[0][part]}
            summary[f"{case}_{part}"] = {
                **{who: float(np.mean(values)) for who, values in ap.items()},
                "student_minus_teacher": interval(list(np.subtract(ap["student"], ap["teacher"]))),
                "worst_student_minus_teacher": float(np.subtract(ap["student"], ap["teacher"]).min()),
                "student_minus_labels_alone": interval(list(np.subtract(ap["student"], ap["labels_alone"]))),
            }
        summary[f"{case}_times_fewer_parameters"] = lines[0]["parameters"][0] / lines[0]["parameters"][1]
    if b := by_case["b"]:
        summary["b"] = {
            **{
                who: float(np.mean([line[who]["auroc"] for line in b]))
                for who in ("teacher", "student", "without_jitter", "artifact")
            },
            "student_minus_teacher": interval(
                [line["student"]["auroc"] - line["teacher"]["auroc"] for line in b]
            ),
            "worst_student_minus_teacher": min(
                line["student"]["auroc"] - line["teacher"]["auroc"] for line in b
            ),
        }
    for line in by_case["speed"]:
        teacher, student = line["onnx_rows_per_second"]
        summary["b_speed"] = {
            "times_faster_in_batch": student / teacher,
            "torch_one_row_us": line["torch_one_row_us"],
        }
    if c := by_case["c"]:
        summary["c"] = {
            who: float(np.mean([line[who]["auroc"] for line in c])) for who in ("nothing", "pretext", "knn")
        }
    return summary


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--case", choices=tuple(CASES), action="append")
    parser.add_argument("--number", type=int, action="append", help="of a case, such as a seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = options.case or list(CASES)
    folder = data_folder(options.data) if {"a", "b", "plain"} & set(cases) else Path()
    log = Log("networks", ("case", "number"), quick=options.quick)
    for case in cases:
        for number in options.number or list(CASES[case])[: 2 if options.quick else None]:
            if not log.done(case=case, number=number):
                log.add(case=case, number=number, **measure(case, number, folder, options.quick))
                print(case, number, f"{log.lines[-1]['seconds']:.0f} s", flush=True)
    rows = []
    for line in log.lines:
        if line["case"] in ("a", "plain"):
            for part in ("rest", "shifted"):
                cells = [
                    line[part][who]["average_precision"]
                    for who in ("teacher", "student", "labels_alone", "artifact")
                ]
                rows.append((f"{line['case']} {part}", line["number"], "AP", *cells))
        elif line["case"] == "b":
            cells = [line[who]["auroc"] for who in ("teacher", "student", "without_jitter", "artifact")]
            rows.append(("b", line["number"], "AUROC", *cells))
        elif line["case"] == "c":
            rows.append(
                ("c", line["number"], "AUROC", *(line[w]["auroc"] for w in ("nothing", "pretext", "knn")), "")
            )
        else:
            cells = [f"{rate:,.0f}" for rate in line["onnx_rows_per_second"]]
            rows.append(("speed", line["number"], "rows/s", *cells, "", ""))
    table(
        (
            "case",
            "",
            "",
            "teacher / nothing",
            "student / pretext",
            "labels alone / no jitter / kNN",
            "artifact",
        ),
        rows,
    )
    summary = summarise(log.lines)
    for name, value in summary.items():
        print(name, value)
    log.finish(summary)


if __name__ == "__main__":
    main()
