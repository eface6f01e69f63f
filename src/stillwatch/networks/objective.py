"""What a student is trained for: the teacher's outputs, its features, true labels, or a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillwatch.errors import InputError
from stillwatch.knowledge.soften import Softener
from stillwatch.networks.layers import Hint, Matcher, feature
from stillwatch.networks.score import anomaly_score, check_output
from stillwatch.training import losses

OutputLoss = Literal["kl", "regression", "ranking"]
LabelLoss = Literal["class_balanced", "focal"]


@dataclass(frozen=True)
class Goal:
    """What the losses are, and how they are weighed.

    (1 - label_weight) x output loss + label_weight x label loss + sum of weight x hint loss.

    Attributes
    ----------
    loss
        "kl": temperature-softened divergence of the logits; "regression": distance to the softened score; "ranking": order of
        the scores; None: hints alone.
    temperature
        of "kl".
    hints
        layers to match.
    label_weight
        share of the true labels, 0 to 1; 0: labels are not looked at.
    label_loss
        for labels of rare classes.
    normal_class
        the label, and the logit, of normal rows.
    student_reads
        layer of the teacher whose features are the student's input; None: the rows themselves.
    """

    loss: OutputLoss | None = "kl"
    temperature: float = 2.0
    hints: tuple[Hint, ...] = ()
    label_weight: float = 0.0
    label_loss: LabelLoss = "class_balanced"
    normal_class: int = 0
    student_reads: str | None = None

    def __post_init__(self) -> None:
        if self.loss not in ("kl", "regression", "ranking", None):
            raise InputError(
                f"loss={self.loss!r}: expected 'kl', 'regression', 'ranking', or None for hints alone."
            )
        if self.label_loss not in ("class_balanced", "focal"):
            raise InputError(f"label_loss={self.label_loss!r}: expected 'class_balanced' or 'focal'.")
        if not self.temperature > 0:
            raise InputError(f"temperature={self.temperature}: expected more than 0, such as 2.")
        if not 0 <= self.label_weight <= 1:
            raise InputError(
                f"label_weight={self.label_weight}: expected 0 (teacher alone) to 1 (labels alone)."
            )
        if self.loss is None and not self.hints and not self.label_weight:
            raise InputError("nothing to learn: name a loss, hints, or a label_weight above 0.")

    @property
    def outputs(self) -> bool:
        """Whether the student gives an output like its teacher's, rather than features alone."""
        return self.loss is not None or self.label_weight > 0

    @property
    def taught(self) -> bool:
        """Whether the teacher's outputs or features take part in the loss."""
        return bool(self.hints) or (self.loss is not None and self.label_weight < 1)

    @property
    def asks(self) -> bool:
        """Whether the teacher is needed to train."""
        return self.taught or self.student_reads is not None


class Learner(nn.Module):
    """All that is trained: the student, and a matcher for each hint."""

    def __init__(self, student: nn.Module, matchers: Sequence[Matcher]) -> None:
        super().__init__()
        self.student = student
        self.matchers = nn.ModuleList(matchers)


@dataclass(frozen=True)
class Objective:
    """The loss of a batch.

    Attributes
    ----------
    softener
        how raw teacher scores become targets, for "regression".
    counts
        (classes,) training rows of each class, for "class_balanced".
    """

    goal: Goal
    softener: Softener | None = None
    counts: Tensor | None = None

    def __call__(self, output: Any, teacher: Any, labels: Tensor | None, matched: Tensor | None) -> Tensor:
        """Loss of the student's output, given the teacher's, the labels and the loss of the hints."""
        goal = self.goal
        parts = [part for part in (self.taught(output, teacher), matched) if part is not None]
        if goal.label_weight and labels is not None:
            parts.append(goal.label_weight * self._hard(output, labels))
        return torch.stack(parts).sum()

    def taught(self, output: Any, teacher: Any) -> Tensor | None:
        """What the teacher's output gives to the loss; None where it does not teach."""
        goal = self.goal
        if goal.loss is None or goal.label_weight == 1:
            return None
        return (1 - goal.label_weight) * self._soft(output, teacher)

    def _soft(self, output: Tensor, teacher: Tensor) -> Tensor:
        goal = self.goal
        if goal.loss == "kl":
            ours, theirs = _logits(output), _logits(teacher)
            function = losses.softened_bernoulli if theirs.shape[1] == 1 else losses.softened_kl
            return function(ours, theirs, temperature=goal.temperature)
        ours = anomaly_score(output.float(), normal_class=goal.normal_class)
        theirs = anomaly_score(teacher.float(), normal_class=goal.normal_class)
        if self.softener is None:
            return losses.score_ranking(ours, theirs)
        soft = torch.asinh((theirs - self.softener.center) / self.softener.scale)
        return losses.score_regression(ours, soft)

    def _hard(self, output: Tensor, labels: Tensor) -> Tensor:
        known = labels >= 0
        if not bool(known.any()):
            return output.sum() * 0.0
        logits, classes = _logits(output)[known], labels[known]
        if logits.shape[1] == 1:
            classes = (classes != self.goal.normal_class).long()
        if self.counts is None:
            return losses.focal(logits, classes)
        return losses.class_balanced(logits, classes, self.counts)


def label_counts(labels: NDArray[np.int64] | None, width: int, goal: Goal) -> Tensor:
    """(classes,) training rows of each class, as the student's output sees them.

    Raises
    ------
    InputError
        there are no labels, or one class only, or more classes than outputs.
    """
    if labels is None or not (labels >= 0).any():
        raise InputError(
            f"label_weight={goal.label_weight:g} needs labels, and the loader yields none. Yield (inputs, labels), or set "
            "label_weight=0."
        )
    known = labels[labels >= 0]
    if width == 1:
        known = (known != goal.normal_class).astype(np.int64)
    classes = max(2, width)
    if known.max() >= classes:
        raise InputError(
            f"a label is {known.max()}, but the networks have {classes} classes (0 to {classes - 1})."
        )
    counts = np.bincount(known, minlength=classes)
    if (counts > 0).sum() < 2:
        raise InputError(
            f"all {len(known):,} labelled rows are of class {int(counts.argmax())}: labels of one class teach nothing. "
            "Add rows of another class, or set label_weight=0 and learn from the teacher alone."
        )
    return torch.from_numpy(np.maximum(counts, 1))


def match_loss(learner: Learner, ours: dict[str, Any], theirs: dict[str, Any]) -> Tensor | None:
    """Weighted loss of all hints, from what was recorded; None where there are none."""
    parts = []
    for matcher in learner.matchers:
        assert isinstance(matcher, Matcher)  # noqa: S101
        hint = matcher.hint
        student, teacher = matcher(
            feature(ours, hint.student, "student"), feature(theirs, hint.teacher, "teacher")
        )
        if hint.distance == "cosine":
            parts.append(hint.weight * losses.cosine(student, teacher, channels=matcher.channels))
        else:
            parts.append(hint.weight * losses.hint(student, teacher))
    return torch.stack(parts).sum() if parts else None


def check_outputs(student: Any, teacher: Any, goal: Goal) -> None:
    """See that the outputs of one batch fit each other.

    Raises
    ------
    InputError
        the student gives no scores or logits, or not as many as its teacher.
    """
    check_output(student, "student")
    ours, theirs = _logits(student), _logits(teacher)
    anomaly_score(ours, normal_class=goal.normal_class)
    if theirs.shape[1] == 1 and goal.normal_class:
        raise InputError(
            f"normal_class={goal.normal_class}, but the teacher gives one value a row, which is high for anomalies: their label "
            "is 1, and normal_class 0."
        )
    if goal.loss is not None and (
        len(ours) != len(theirs) or (goal.loss == "kl" and ours.shape != theirs.shape)
    ):
        raise InputError(
            f"the student gives {tuple(student.shape)}, the teacher {tuple(teacher.shape)}; loss={goal.loss!r} needs the same. "
            "Change the student's last layer, or compare scores alone (loss='regression' or 'ranking')."
        )


def _logits(output: Tensor) -> Tensor:
    return output[:, None] if output.ndim == 1 else output
