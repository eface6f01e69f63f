"""A wide classifier of a mixed table into one of two layers, saved as a model that scores raw rows.

    python examples/intrusion_classifier.py nsl_kdd_train.csv.gz --label anomaly --ignore attack -o model
    stillwatch score model nsl_kdd_test.csv.gz

The teacher below stands for the network that you already have: any module that gives one logit a row will do.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillwatch.networks import NetworkTable, distill_network, network_model, read_table


def layers(columns: int, width: int, depth: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(depth):
        parts += [nn.Linear(columns, width), nn.ReLU()]
        columns = width
    return nn.Sequential(*parts, nn.Linear(columns, 1))


def train_teacher(model: nn.Module, rows: NetworkTable, steps: int) -> None:
    """Noise on the rows keeps a wide network from learning the few attacks by heart."""
    x, y = rows.matrix(rows.learn), torch.from_numpy(rows.labels[rows.learn]).float()
    rare = (y == 0).sum() / (y == 1).sum()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=1e-2)
    for _ in range(steps):
        chosen = torch.randint(len(x), (256,))
        logits: Tensor = model(x[chosen] + 0.2 * torch.randn(256, x.shape[1]))
        loss = functional.binary_cross_entropy_with_logits(logits[:, 0], y[chosen], pos_weight=rare)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table")
    parser.add_argument("--label", required=True)
    parser.add_argument("--ignore", action="append", default=[])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("-o", "--output", default="model")
    options = parser.parse_args()

    rows = read_table(options.table, label=options.label, ignore=options.ignore)
    torch.manual_seed(0)
    teacher, student = layers(rows.columns, 512, 4), layers(rows.columns, 32, 2)
    train_teacher(teacher, rows, options.steps)
    done = distill_network(
        teacher,
        student,
        rows.training(),
        validation=rows.validation(),
        epochs=options.epochs,
    )
    print(done.report)
    print("digest", network_model(rows, done).save(options.output, overwrite=True))


if __name__ == "__main__":
    main()
