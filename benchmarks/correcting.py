"""Whether a student may end above its teacher where training rows hold anomalies: `purify=True` beside UADB.

Protocol: contaminated sets, four teachers. `purified` is the student of the default call with `purify=True`; `teacher` is what
that call without it would have learnt from. UADB (Ye et al. 2023, arXiv:2306.01997) starts from the teacher's scores of the
training rows: three networks of 3 x 128, each on two thirds of the rows, ten rounds of ten epochs; after a round the labels are
the networks' answers plus the deviation among all labels so far, from 0 to 1. It is judged on its own training rows, which is
what it claims, and, as are all others, on rows that nobody has seen.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from protocol import Log, arguments, data_folder, metrics, sets, split, table
from sklearn.model_selection import KFold

import stillwatch as sw
from stillwatch.teachers import ask, fit_teacher, resolve_teacher

TEACHERS = ("isolation_forest", "knn", "lof", "ecod")
ROUNDS, EPOCHS, BATCH, WIDTH, FOLDS = 10, 10, 256, 128, 3


def uadb(
    train: NDArray[np.float32], scores: NDArray[np.float64], test: NDArray[np.float32], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corrected scores of the training rows, and the networks' mean answer for the others."""
    torch.manual_seed(seed)
    x, labels = torch.as_tensor(train), [_from_0_to_1(scores)]
    folds = [torch.as_tensor(rest) for rest, _ in KFold(FOLDS).split(train)]
    networks = [_network(train.shape[1]) for _ in folds]
    optimisers = [torch.optim.Adam(network.parameters()) for network in networks]
    for _ in range(ROUNDS):
        wanted = torch.as_tensor(labels[-1], dtype=torch.float32)[:, None]
        for network, optimiser, rows in zip(networks, optimisers, folds, strict=True):
            for _ in range(EPOCHS):
                for batch in rows[torch.randperm(len(rows))].split(BATCH):
                    loss = torch.nn.functional.mse_loss(network(x[batch]), wanted[batch])
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
        said = [_answers(network, x) for network in networks]
        corrected = [one + np.std([*labels, one], axis=0, ddof=1) for one in said]
        labels.append(_from_0_to_1(np.mean(corrected, axis=0)))
    return labels[-1], np.mean([_answers(network, torch.as_tensor(test)) for network in networks], axis=0)


def _network(width: int) -> torch.nn.Sequential:
    widths = [width, WIDTH, WIDTH, WIDTH]
    layers = [(torch.nn.Linear(a, b), torch.nn.ReLU()) for a, b in pairwise(widths)]
    return torch.nn.Sequential(*(part for layer in layers for part in layer), torch.nn.Linear(WIDTH, 1))


def _answers(network: torch.nn.Module, x: torch.Tensor) -> NDArray[np.float64]:
    with torch.no_grad():
        return np.asarray(network(x)[:, 0], dtype=np.float64)


def _from_0_to_1(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return (scores - scores.min()) / (np.ptp(scores) or 1.0)


def measure(path: Path, name: str, seed: int) -> dict[str, Any]:
    rows = split(path, regime="contaminated", seed=seed)
    d = sw.distill(rows.train, teacher=name, purify=True, seed=seed)
    # The rows that fitted, which are those of the call without `purify`.
    x, labels = d.features(rows.train[d.split.fit]), rows.train_labels[d.split.fit]
    test = d.features(rows.test)
    teacher = fit_teacher(resolve_teacher(name, regime="all"), x, seed=seed)
    theirs = ask(teacher, x)
    began = perf_counter()
    own, unseen = uadb(x, theirs, test, seed)
    uadb_seconds = perf_counter() - began
    return {
        "teacher": metrics(rows.labels, ask(teacher, test)),
        "purified teacher": metrics(rows.labels, d.teacher_score(rows.test)),
        "purified": metrics(rows.labels, d.scorer.score(rows.test)),
        "uadb": metrics(rows.labels, unseen),
        "teacher, training rows": metrics(labels, theirs),
        "uadb, training rows": metrics(labels, own),
        "seconds": sum(d.seconds.values()),
        "uadb_seconds": uadb_seconds,
    }


WHO = ("teacher", "purified teacher", "purified", "uadb", "teacher, training rows", "uadb, training rows")


def summarise(lines: list[dict[str, Any]]) -> dict[str, float]:
    found = {
        f"{who} {metric}": float(np.mean([line[who][metric] for line in lines]))
        for who in WHO
        for metric in ("auroc", "average_precision")
    }
    for who, base in (
        ("purified", "teacher"),
        ("uadb", "teacher"),
        ("uadb, training rows", "teacher, training rows"),
    ):
        found[f"gain of {who}"] = found[f"{who} auroc"] - found[f"{base} auroc"]
    return found


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--teacher", action="append", default=[], choices=TEACHERS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--eight", action="store_true", help="eight of the sets, by their place")
    options = parser.parse_args()
    paths = sets(data_folder(options.data), eight=options.eight)
    if options.quick:
        paths = [path for path in paths if path.stat().st_size < 20_000]
    log = Log("correcting", ("set", "asked", "seed"), quick=options.quick)
    for seed in range(options.seeds):
        for name in options.teacher or TEACHERS:
            for path in paths:
                key = {"set": path.stem, "asked": name, "seed": seed}
                if not log.done(**key):
                    log.add(**key, **measure(path, name, seed))
    table(
        ("set", "teacher", *WHO),
        [(line["set"], line["asked"], *(line[who]["auroc"] for who in WHO)) for line in log.lines],
    )
    names = dict.fromkeys(line["asked"] for line in log.lines)
    summary = {
        "all": summarise(log.lines),
        **{name: summarise([line for line in log.lines if line["asked"] == name]) for name in names},
    }
    for name, found in summary.items():
        print(
            f"{name:20s}", "  ".join(f"{key} {value:+.4f}" for key, value in found.items() if "gain" in key)
        )
    log.finish(summary)


if __name__ == "__main__":
    main()
