"""Odd digits, found by a student that learnt to follow its teacher on one digit only.

    python examples/discrepancy.py --normal 8

The teacher has learnt nothing at all: random features are enough for a student to follow where it has seen rows, and to lose
track where it has not. The peer is the mean distance to the five nearest training images.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import nn

from stillwatch.networks import TensorBatches, distill_discrepancy, export_network


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--normal", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=200)
    options = parser.parse_args()

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    normal = np.flatnonzero(y == options.normal)
    half = len(normal) // 2
    train = x[normal[:half]]
    test = np.concatenate([x[normal[half:]], x[y != options.normal]])
    odd = np.arange(len(test)) >= len(normal) - half

    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128))
    student = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 128))
    detector = distill_discrepancy(
        teacher,
        student,
        TensorBatches(torch.from_numpy(train[:-10]), size=32),
        validation=TensorBatches(torch.from_numpy(train[-10:]), shuffle=False),
        epochs=options.epochs,
        patience=40,
    )
    with torch.inference_mode():
        scores = detector(torch.from_numpy(test)).numpy()
    nearest = NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0].mean(axis=1)
    print(
        f"AUROC  discrepancy {roc_auc_score(odd, scores):.4f}  nearest neighbours {roc_auc_score(odd, nearest):.4f}"
    )
    exported = export_network(detector, 64)
    print(f"as a graph: {len(exported.model):,} bytes, differs from PyTorch by {exported.parity:.1e}")


if __name__ == "__main__":
    main()
