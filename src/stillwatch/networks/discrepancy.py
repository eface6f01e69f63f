"""Discrepancy detectors: a student that learnt its teacher's features on normal rows fails to follow it elsewhere.

How far it falls behind *is* the anomaly score. The teacher needs no knowledge of anomalies: it may have learnt something else
from normal rows, or on other data, or nothing at all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stillwatch.errors import InputError
from stillwatch.networks.batches import call, read
from stillwatch.networks.device import Precision
from stillwatch.networks.distill import Progress, distill_network
from stillwatch.networks.layers import Hint, Matcher, feature, recorded
from stillwatch.networks.misuse import refuse_loader
from stillwatch.networks.report import Epoch
from stillwatch.training import losses

Pooling = Literal["mean", "max"]


class Discrepancy(nn.Module):
    """Scores rows by the distance of a student's features from its teacher's.

    Made by `distill_discrepancy`. It holds copies of both networks and is always in eval mode.

    Attributes
    ----------
    scales
        (layers,) mean distance of each layer on normal rows: layers count alike, and an ordinary row scores about 1.
    epochs
        how the student came near its teacher.
    """

    scales: Tensor

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        matchers: Iterable[nn.Module],
        *,
        student_reads: str | None = None,
        pooling: Pooling = "mean",
        epochs: tuple[Epoch, ...] = (),
    ) -> None:
        super().__init__()
        if pooling not in ("mean", "max"):
            raise InputError(f"pooling={pooling!r}: expected 'mean' or 'max'.")
        self.teacher, self.student = copy.deepcopy(teacher), copy.deepcopy(student)
        self.matchers = nn.ModuleList(matchers)
        self.student_reads, self.pooling, self.epochs = student_reads, pooling, epochs
        self.register_buffer("scales", torch.ones(len(self.matchers)))
        self.requires_grad_(False).train(False)

    def train(self, mode: bool = True) -> Discrepancy:
        """Stay in eval mode: a detector is not trained any further."""
        super().train(False)
        return self

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """(n,) scores; higher = more abnormal."""
        return self.pooled(*inputs, **named).div(self.scales).mean(dim=1)

    def pooled(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """(n, layers) distance of each layer, over its positions."""
        flat = [part.reshape(part.shape[0], -1) for part in self.maps(*inputs, **named)]
        return torch.stack([p.amax(dim=1) if self.pooling == "max" else p.mean(dim=1) for p in flat], dim=1)

    def maps(self, *inputs: Tensor, **named: Tensor) -> tuple[Tensor, ...]:
        """(n, positions...) distances, layer by layer: where a row departs, for features that have positions."""
        matchers = [matcher for matcher in self.matchers if isinstance(matcher, Matcher)]
        read_from = [] if self.student_reads is None else [self.student_reads]
        with (
            recorded(self.teacher, [m.hint.teacher for m in matchers] + read_from, "teacher") as theirs,
            recorded(self.student, [m.hint.student for m in matchers], "student") as ours,
        ):
            self.teacher(*inputs, **named)
            if self.student_reads is None:
                self.student(*inputs, **named)
            else:
                self.student(feature(theirs, self.student_reads, "teacher"))
        found = []
        for matcher in matchers:
            hint = matcher.hint
            student, teacher = matcher(
                feature(ours, hint.student, "student"), feature(theirs, hint.teacher, "teacher")
            )
            distance = losses.cosine_map if hint.distance == "cosine" else losses.squared_map
            found.append(distance(student, teacher, channels=matcher.channels))
        return tuple(found)


def distill_discrepancy(
    teacher: nn.Module,
    student: nn.Module,
    loader: Iterable[Any],
    *,
    hints: Sequence[Hint] = (Hint("", ""),),
    validation: Iterable[Any] | None = None,
    student_reads: str | None = None,
    pooling: Pooling = "mean",
    epochs: int = 100,
    patience: int = 20,
    learning_rate: float = 3e-3,
    device: str | torch.device = "auto",
    precision: Precision = "auto",
    checkpoint: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Discrepancy:
    """Train a student to follow its teacher's features on normal rows; the detector comes on the CPU.

    Parameters
    ----------
    teacher, student, loader, validation, epochs, patience, learning_rate, device, precision, checkpoint, seed, progress
        as for `distill_network`; all rows are normal, labels are not needed.
    hints
        layers to follow; by default the output of the whole network. Squared distances of standardised features are those of
        Uninformed Students, cosines by position those of STFPM.
    student_reads
        layer of the teacher that the student reads instead of the rows: with cosines and a student that widens again, this is
        reverse distillation.
    pooling
        "mean" over the positions of a layer, or "max", for defects that are small in a large row.

    Raises
    ------
    InputError
        as `distill_network`, or a row is labelled as an anomaly.

    Source: Bergmann et al. 2020, arXiv:1911.02357 (Uninformed Students, one student); Wang et al. 2021, arXiv:2103.04257 (STFPM);
    Deng, Li 2022, arXiv:2201.10703 (reverse distillation). A teacher that learnt nothing: Burda et al. 2019, arXiv:1810.12894.
    """
    refuse_loader(loader, "loader")
    _refuse_anomalies(loader)
    done = distill_network(
        teacher,
        student,
        loader,
        validation=validation,
        loss=None,
        hints=hints,
        student_reads=student_reads,
        labels_alone=False,
        epochs=epochs,
        patience=patience,
        learning_rate=learning_rate,
        device=device,
        precision=precision,
        checkpoint=checkpoint,
        seed=seed,
        progress=progress,
    )
    detector = Discrepancy(
        teacher,
        student,
        done.matchers,
        student_reads=student_reads,
        pooling=pooling,
        epochs=done.trained.epochs,
    ).cpu()
    detector.scales = _ordinary(detector, loader if validation is None else validation)
    return detector


@torch.no_grad()
def _ordinary(detector: Discrepancy, loader: Iterable[Any]) -> Tensor:
    """(layers,) mean distance on normal rows, never 0."""
    parts = [call(detector.pooled, batch.to(torch.device("cpu")).inputs) for batch in read(loader)]
    return torch.cat(parts).mean(dim=0).clamp(min=1e-12)


def _refuse_anomalies(loader: Iterable[Any]) -> None:
    anomalies = sum(int((batch.labels > 0).sum()) for batch in read(loader) if batch.labels is not None)
    if anomalies:
        raise InputError(
            f"{anomalies:,} rows of the loader are labelled as anomalies: a student that learns to follow its teacher there "
            "cannot tell them. Leave them out."
        )
