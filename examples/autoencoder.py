"""An autoencoder that judges by its reconstruction error into a scorer that gives the error at once.

    python examples/autoencoder.py creditcard.csv.gz --label Class -o model

The autoencoder trains on rows that are labelled normal. An error is largest where no training row lies, and that is where the
scorer has to know it: `distill_network` moves half of the rows before it asks both (`jitter`).
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from stillwatch.networks import ReconstructionError, distill_network, network_model, read_table


class Standardise(nn.Module):
    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", rows.mean(dim=0))
        self.register_buffer("scale", rows.std(dim=0).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale


def autoencoder(columns: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(columns, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 8)),
        *(nn.Linear(8, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, columns)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table")
    parser.add_argument("--label", required=True)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("-o", "--output", default="model")
    options = parser.parse_args()

    rows = read_table(options.table, label=options.label, train_on="normal")
    x = rows.matrix(rows.learn)
    torch.manual_seed(0)
    teacher = nn.Sequential(Standardise(x), ReconstructionError(autoencoder(rows.columns)))
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=1e-3)
    for _ in range(options.steps):
        loss = teacher(x[torch.randint(len(x), (256,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    student = nn.Sequential(
        Standardise(x),
        *(nn.Linear(rows.columns, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1)),
    )
    done = distill_network(
        teacher,
        student,
        rows.training(),
        validation=rows.validation(),
        loss="regression",
        epochs=options.epochs,
    )
    print(done.report)
    print("digest", network_model(rows, done).save(options.output, overwrite=True))


if __name__ == "__main__":
    main()
