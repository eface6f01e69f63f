"""Teacher and student on the validation rows, and the figure by which an epoch is the best."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillwatch.errors import InputError
from stillwatch.evaluation.fidelity import spearman
from stillwatch.evaluation.quality import Ranking, why_unmeasured
from stillwatch.networks.answer import finite
from stillwatch.networks.batches import read
from stillwatch.networks.lesson import Figure, Lesson
from stillwatch.networks.objective import Goal, Learner, Objective, match_loss
from stillwatch.networks.report import Epoch
from stillwatch.networks.result import Judged
from stillwatch.networks.score import anomaly_score

_BLOCK = 1_024


def judge(learner: Learner, lesson: Lesson, objective: Objective) -> Judged:
    """Teacher and student side by side (a loader may shuffle its rows), in float32: bfloat16 would tie scores."""
    goal, lesson = lesson.goal, replace(lesson, precision=torch.float32)
    teacher: list[NDArray[np.float64]] = []
    student: list[NDArray[np.float64]] = []
    labels: list[NDArray[np.int64]] = []
    losses: list[float] = []
    rows = 0
    learner.eval()
    with torch.no_grad():
        for batch in read(lesson.validation):
            output, said = lesson.run(learner, batch.to(lesson.device))
            if goal.outputs:
                finite(said, "the teacher", rows + 1)
                for scores, given in ((teacher, said), (student, output)):
                    score = anomaly_score(given.float(), normal_class=goal.normal_class)
                    scores.append(score.cpu().double().numpy())
            losses.append(
                _summed(objective, output, said, match_loss(learner, lesson.ours, lesson.theirs), len(batch))
            )
            rows += len(batch)
            if batch.labels is not None:
                labels.append(batch.labels.cpu().numpy())
    if rows < 2:
        raise InputError(
            f"{rows} validation rows came; at least 2 are needed. Hand over an iterable that can be gone through again and "
            "again, such as a DataLoader or a list."
        )
    return Judged(
        teacher=np.concatenate(teacher) if teacher else np.zeros(0),
        student=np.concatenate(student) if student else np.zeros(0),
        labels=anomalies(np.concatenate(labels), goal.normal_class) if labels else None,
        loss=sum(losses) / rows if goal.taught else None,
    )


def _summed(objective: Objective, output: Any, said: Any, matched: Tensor | None, rows: int) -> float:
    """Loss of a batch by what the teacher gave, summed over its rows; by blocks, since a ranking compares all pairs."""
    total = 0.0 if matched is None else rows * float(matched)
    if objective.goal.outputs:
        for ours, theirs in zip(output.split(_BLOCK), said.split(_BLOCK), strict=True):
            part = objective.taught(ours, theirs)
            total += 0.0 if part is None else len(ours) * float(part)
    return total


def anomalies(labels: NDArray[np.int64], normal_class: int) -> NDArray[np.float64]:
    """(n,) 1 = anomaly, 0 = normal, NaN = unknown, of classes."""
    return np.where(labels < 0, np.nan, (labels != normal_class).astype(np.float64))


def epoch_of(number: int, judged: Judged, figure: Figure) -> Epoch:
    """What an epoch came to; a student that gives NaN agrees with nobody."""
    agreement = precision = None
    if len(judged.student):
        sound = bool(np.isfinite(judged.student).all())
        agreement = spearman(judged.student, judged.teacher) if sound else -1.0
        precision = _average_precision(judged) if sound else None
    loss = None if judged.loss is None or not np.isfinite(judged.loss) else -judged.loss
    value = {"loss": loss, "fidelity": agreement, "average_precision": precision}[figure]
    return Epoch(number, -np.inf if value is None else value, agreement, precision)


def _average_precision(judged: Judged) -> float | None:
    if judged.labels is None or why_unmeasured(judged.labels) is not None:
        return None
    known = ~np.isnan(judged.labels)
    anomaly = judged.labels[known] == 1
    return Ranking(judged.student[known]).areas(anomaly.astype(np.float64), (~anomaly).astype(np.float64))[1]


def figure_of(wanted: str, goal: Goal, labels: NDArray[np.float64] | None) -> Figure:
    """What validation goes by.

    Raises
    ------
    InputError
        the figure that is wanted cannot be taken.
    """
    unmeasured = why_unmeasured(labels)
    if wanted == "auto":
        if goal.outputs and goal.label_weight and unmeasured is None:
            return "average_precision"
        return "loss" if goal.taught else "fidelity"
    if wanted == "average_precision" and goal.outputs:
        if unmeasured is not None:
            found = "no labels came with the validation rows." if labels is None else unmeasured
            raise InputError(f"validate='average_precision': {found} Give validation rows of both classes.")
        return "average_precision"
    if wanted == "fidelity" and goal.outputs:
        return "fidelity"
    if wanted == "loss" and goal.taught:
        return "loss"
    raise InputError(
        f"validate={wanted!r}: expected 'auto', 'loss' (which needs a teacher that is listened to), 'average_precision' or "
        "'fidelity' (which need a loss on outputs)."
    )


def why_not_alone(goal: Goal, learn: NDArray[np.int64] | None, held: NDArray[np.float64] | None) -> str:
    """Why the student cannot be trained on labels alone, from the labels to learn and to validate by; "" where it can."""
    if not goal.outputs or goal.student_reads is not None:
        return "The student learns features, so there is nothing to compare it with on labels alone."
    if learn is None or held is None:
        return (
            f"No student on labels alone: the {'loader' if learn is None else 'validation'} yields no labels."
        )
    for labels in (held, anomalies(learn, goal.normal_class)):
        if (why := why_unmeasured(labels)) is not None:
            return f"No student on labels alone: {why}"
    return ""
