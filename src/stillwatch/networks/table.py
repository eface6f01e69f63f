"""A table made ready for networks: features fitted on the rows that train, and rows to validate and to calibrate set aside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillwatch.distillation.split import Split, TrainOn, make_split
from stillwatch.features.pipeline import Features, fit_features
from stillwatch.knowledge import transfer
from stillwatch.networks.batches import TensorBatches
from stillwatch.table.pack import Packer, Rows
from stillwatch.table.read import open_source
from stillwatch.table.sample import sample
from stillwatch.table.schema import Schema, infer_schema
from stillwatch.teachers.protocol import Regime

MOST_ROWS = 200_000
HELD_OUT = 0.1


@dataclass(frozen=True)
class NetworkTable:
    """Rows of a table as networks take them.

    Attributes
    ----------
    features
        fitted on the rows of `split.fit`: raw rows to a float32 matrix, in NumPy and as graph nodes.
    rows, labels
        all rows; (n,) 1 = anomaly, 0 = normal, NaN = unknown, None without a label column.
    split
        which rows fit and which calibrate; the latter are seen by no network.
    held
        positions in `split.fit` of the rows that validate.
    """

    source: str
    regime: Regime
    features: Features
    rows: Rows
    labels: NDArray[np.float64] | None
    split: Split
    held: NDArray[np.int64]

    @property
    def columns(self) -> int:
        """Width of the feature matrix."""
        return int(self.matrix(np.zeros(0, dtype=np.int64)).shape[1])

    @property
    def learn(self) -> NDArray[np.int64]:
        """Row numbers that train."""
        return np.delete(self.split.fit, self.held)

    def matrix(self, index: NDArray[np.int64]) -> Tensor:
        """(n, columns) features of rows by number."""
        return torch.from_numpy(self.features.transform(self.rows.take(index)))

    def encode(self, data: Any) -> Tensor:
        """(n, columns) features of other raw rows: a path, a dataframe, an Arrow table, dicts."""
        packer = Packer(self.features.schema)
        parts = [self.features.transform(packer.table(batch)) for batch in open_source(data).batches()]
        return torch.from_numpy(np.concatenate(parts))

    def training(self, *, size: int = 256, synthetic: int = 0, seed: int = 0) -> TensorBatches:
        """Shuffled batches of the rows that train, with labels where the table has them.

        Parameters
        ----------
        synthetic
            made rows to add, jittered, swapped, mixed and pushed out, without labels: a teacher can be asked where no training
            row lies, and a student that never saw such rows does not know what its teacher says there.
        """
        code = self.features.encode(self.rows.take(self.learn))
        x = self.features.assemble(code)
        labels = None if self.labels is None else self.labels[self.learn]
        if synthetic:
            parents = transfer.parents_of(code, self.features)
            made, _ = transfer.draw(parents, synthetic, np.random.default_rng(seed), transfer.mix(parents))
            x = np.concatenate([x, self.features.assemble(made)])
            if labels is not None:
                labels = np.concatenate([labels, np.full(len(made), np.nan)])
        return TensorBatches(
            torch.from_numpy(x), None if labels is None else torch.from_numpy(labels), size=size
        )

    def validation(self, *, size: int = 4096) -> TensorBatches:
        """Batches of the rows that validate, in order."""
        index = self.split.fit[self.held]
        labels = None if self.labels is None else torch.from_numpy(self.labels[index])
        return TensorBatches(self.matrix(index), labels, size=size, shuffle=False)


def read_table(
    data: Any,
    *,
    schema: Schema | None = None,
    label: str | None = None,
    ignore: Iterable[str] = (),
    key: Iterable[str] = (),
    train_on: TrainOn = "all",
    seed: int = 0,
) -> NetworkTable:
    """Read a table, set rows aside and fit features on the others.

    Parameters
    ----------
    data, schema, label, ignore, key, train_on
        as for `stillwatch.distill`.
    seed
        decides which rows are set aside.

    Raises
    ------
    InputError
        the data or a column cannot be used as it is.
    """
    source = open_source(data)
    if schema is None:
        schema = infer_schema(source, label=label, ignore=ignore, key=key)
    else:
        schema = schema.with_roles(label=label, ignore=ignore, key=key)
    rng = np.random.default_rng(seed)
    table = sample(source.batches(), MOST_ROWS, rng)
    packer = Packer(schema)
    rows = packer.table(table)
    labels = None if schema.label is None else packer.label(table)
    split = _apart(make_split(len(rows), labels, train_on, rng=rng), rng)
    return NetworkTable(
        source=source.description,
        regime="normal" if train_on == "normal" else "all",
        features=fit_features(rows.take(split.fit), schema),
        rows=rows,
        labels=labels,
        split=split,
        held=_held(split.fit, labels, rng),
    )


def _apart(split: Split, rng: np.random.Generator) -> Split:
    """Set rows aside to calibrate, also where there are few: networks are not trained again on folds."""
    if len(split.calibration):
        return split
    shuffled = rng.permutation(split.fit)
    cut = max(1, len(shuffled) // 5)
    return replace(split, fit=np.sort(shuffled[cut:]), calibration=np.sort(shuffled[:cut]), folds=())


def _held(
    fit: NDArray[np.int64], labels: NDArray[np.float64] | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """A tenth of the rows, and a tenth of the labelled anomalies among them: rare rows must not fall on one side by chance."""
    kinds = np.zeros(len(fit)) if labels is None else (labels[fit] == 1).astype(np.float64)
    parts = []
    for kind in np.unique(kinds):
        members = rng.permutation(np.flatnonzero(kinds == kind))
        parts.append(members[: max(1, round(HELD_OUT * len(members)))])
    return np.sort(np.concatenate(parts))
