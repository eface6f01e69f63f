"""Any PyTorch teacher into any PyTorch student, top to bottom: survey, rehearsal, training, the same on labels alone."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillwatch.errors import InputError, StillwatchError
from stillwatch.evaluation.fidelity import spearman
from stillwatch.evaluation.quality import Ranking, why_unmeasured
from stillwatch.knowledge.soften import fit_softener
from stillwatch.networks.batches import Batch, call
from stillwatch.networks.checkpoint import load_checkpoint, save_checkpoint
from stillwatch.networks.device import Precision, choose_device, choose_precision, mixed
from stillwatch.networks.frozen import frozen, weights_digest
from stillwatch.networks.layers import Hint, Matcher, feature, recorded
from stillwatch.networks.objective import (
    Goal,
    LabelLoss,
    Learner,
    Objective,
    OutputLoss,
    check_outputs,
    label_counts,
    match_loss,
)
from stillwatch.networks.report import Epoch, parameters
from stillwatch.networks.result import Judged, NetworkDistillation, Trained
from stillwatch.networks.score import anomaly_score
from stillwatch.networks.survey import Survey, ask, finite, read, survey
from stillwatch.training.loop import State, train

Progress = Callable[[str, int, int], None]
Figure = Literal["average_precision", "fidelity", "features"]

_log = logging.getLogger("stillwatch")


@dataclass(frozen=True)
class Lesson:
    """What every step of a training needs: the teacher at work, the rows, and where the networks run.

    Attributes
    ----------
    theirs, ours
        what `layers.recorded` keeps of the teacher and the student.
    figure
        what validation goes by; see `Epoch`.
    """

    teacher: nn.Module
    loader: Iterable[Any]
    validation: Iterable[Any]
    device: torch.device
    precision: torch.dtype
    goal: Goal
    theirs: dict[str, Any]
    ours: dict[str, Any]
    figure: Figure = "fidelity"

    def run(self, learner: Learner, batch: Batch, *, asking: bool = True) -> tuple[Any, Any]:
        """Outputs of student and teacher (None where it is not asked) for a batch that lies on the device."""
        said = ask(self.teacher, batch, self.precision) if asking else None
        inputs = batch.inputs
        if self.goal.student_reads is not None:
            inputs = feature(self.theirs, self.goal.student_reads, "teacher").detach()
        with mixed(self.device, self.precision):
            return call(learner.student, inputs), said


def distill_network(
    teacher: nn.Module,
    student: nn.Module,
    loader: Iterable[Any],
    *,
    validation: Iterable[Any] | None = None,
    loss: OutputLoss | None = "kl",
    temperature: float = 2.0,
    hints: Sequence[Hint] = (),
    student_reads: str | None = None,
    label_weight: float = 0.0,
    label_loss: LabelLoss = "class_balanced",
    normal_class: int = 0,
    validate: Literal["auto"] | Figure = "auto",
    labels_alone: bool = True,
    epochs: int = 30,
    patience: int = 10,
    learning_rate: float = 1e-3,
    device: str | torch.device = "auto",
    precision: Precision = "auto",
    checkpoint: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> NetworkDistillation:
    """Train a network to answer as another one does.

    Parameters
    ----------
    teacher
        gives (n,) scores, (n, 1) logits or (n, k) logits of k classes. Asked in eval mode and without gradients; handed back as
        it was found, down to the mode of every submodule and the statistics of a BatchNorm.
    student
        trained in place, and handed back in eval mode with the weights of its best epoch.
    loader
        yields batches, and can be gone through again and again: a tensor, (inputs,) or (inputs, labels). Inputs may be a
        tuple (by place) or a dict (by name) of tensors. Labels are classes; -1 or NaN = unknown.
    validation
        batches of rows that do not train; None: the training rows, which shows no overfitting.
    loss
        "kl": softened divergence of logits (Hinton), for classifiers. "regression": the student gives the softened score,
        asinh of the robustly standardised one. "ranking": the order of the scores. None: hints, or labels, alone.
    temperature
        of "kl".
    hints
        layers of the student that shall match layers of the teacher.
    student_reads
        layer of the teacher whose features are the student's input, instead of the rows (reverse distillation).
    label_weight
        share of the true labels in the loss; 0: labels in `loader` change nothing.
    label_loss
        "class_balanced" or "focal", for labels of rare classes.
    normal_class
        the label, and the logit, of normal rows.
    validate
        what decides which epoch is best: "average_precision" against labels, "fidelity" (rank correlation with the teacher),
        "features" (the loss of the hints). "auto": average precision if labels count (`label_weight`) and both classes are
        there, fidelity otherwise, features where nothing else is taught.
    labels_alone
        train a copy of the student on the true labels alone, too, where there are any, so that the report can say what the
        teacher gave. Doubles the time.
    epochs, patience, learning_rate
        most epochs; epochs without a new best before training stops; AdamW's highest rate.
    device
        "auto": a GPU where there is one.
    precision
        "auto": bfloat16 on a GPU that has it, float32 elsewhere. Scores and losses are float32 always.
    checkpoint
        folder in which training is kept after each epoch: the same call goes on from there. None: nothing is kept.
    seed
        decides shuffling and dropout: the same call on the same CPU gives the same student. Initial weights are the caller's.
        A loader with a generator of its own is its own source of chance.
    progress
        called with (step, done, total).

    Raises
    ------
    InputError
        shapes, layers, labels, the loader or an option do not fit.
    TeacherError
        the teacher gives NaN or infinity, or the same score for every row.
    StudentError
        training diverged.
    """
    goal = Goal(loss, temperature, tuple(hints), label_weight, label_loss, normal_class, student_reads)
    _refuse_misuse(teacher, student, epochs)
    chosen = choose_device(device)
    number = choose_precision(precision, chosen)
    tell = progress or _silent
    warnings = _warnings(teacher, student, validation)
    untaught = copy.deepcopy(student) if labels_alone and label_weight < 1 else None
    layers = [hint.teacher for hint in goal.hints] + ([student_reads] if student_reads is not None else [])
    with (
        _chance(chosen),
        frozen(teacher, chosen),
        _lent(student, chosen),
        recorded(teacher, layers, "teacher") as theirs,
        recorded(student, [hint.student for hint in goal.hints], "student") as ours,
    ):
        tell("ask teacher", 0, 1)
        torch.manual_seed(seed)
        found = survey(
            teacher,
            loader,
            device=chosen,
            precision=number,
            outputs=goal.outputs,
            normal_class=normal_class,
            given=theirs,
            layers={hint.teacher: hint.channels for hint in goal.hints},
        )
        tell("ask teacher", 1, 1)
        held = loader if validation is None else validation
        lesson = Lesson(teacher, loader, held, chosen, number, goal, theirs, ours)
        learner, objective = _prepare(lesson, student, found)
        lesson = replace(lesson, figure=_figure(validate, goal, judge(learner, lesson).labels))
        settings = _settings(
            goal, weights_digest(teacher), found, lesson.figure, epochs, patience, learning_rate, number, seed
        )

        def fit(learner: Learner, lesson: Lesson, objective: Objective, name: str, step: str) -> Trained:
            path = None if checkpoint is None else Path(checkpoint) / name
            return _fit(
                learner,
                lesson,
                objective,
                rounds=epochs,
                per_epoch=found.batches,
                patience=patience,
                learning_rate=learning_rate,
                seed=seed,
                checkpoint=path,
                settings=settings,
                tell=lambda done: tell(step, done, epochs),
            )

        trained = fit(learner, lesson, objective, "student.pt", "train student")
        alone, note = None, ""
        if label_weight == 1:
            note = "This student learnt from labels alone."
        elif untaught is None:
            note = "The student on labels alone was not asked for."
        elif why := _why_not_alone(goal, found, trained.judged.labels):
            note = why
        else:
            hard = replace(goal, loss=None, hints=(), label_weight=1.0, student_reads=None)
            by_labels = replace(lesson, goal=hard, ours={}, figure="average_precision")
            with _lent(untaught, chosen):
                copied, by_label = _prepare(by_labels, untaught, found)
                alone = fit(copied, by_labels, by_label, "labels_alone.pt", "train on labels alone")
    return NetworkDistillation(
        teacher=teacher,
        student=student,
        matchers=learner.matchers.cpu(),
        goal=goal,
        softener=objective.softener,
        trained=trained,
        labels_alone=alone,
        labels_alone_note=note,
        warnings=warnings,
        rows=found.rows,
        sample=found.first,
    )


def _prepare(lesson: Lesson, student: nn.Module, found: Survey) -> tuple[Learner, Objective]:
    """Rehearse one batch, so that whatever does not fit shows before anything is trained."""
    goal, batch = lesson.goal, found.first.to(lesson.device)
    student.eval()
    try:
        with torch.no_grad():
            output, said = lesson.run(Learner(student, []), batch)
    except StillwatchError:
        raise
    except (RuntimeError, TypeError, ValueError) as exc:
        raise InputError(
            f"the student ({type(student).__name__}) cannot take a batch of shape {tuple(batch.first.shape)}, which its "
            f"teacher takes: {exc}"
        ) from exc
    if goal.outputs:
        check_outputs(output, said, goal)
    matchers = []
    for hint in goal.hints:
        pair = feature(lesson.ours, hint.student, "student"), feature(lesson.theirs, hint.teacher, "teacher")
        matcher = Matcher(hint, *pair).to(lesson.device)
        matcher.standardise_by(*found.statistics[hint.teacher])
        matchers.append(matcher)
    softener = None
    if goal.loss == "regression":
        softener = fit_softener(found.scores, found.scores)
    counts = None
    if goal.label_weight:
        width = output.shape[1] if output.ndim == 2 else 1
        counts = label_counts(found.labels, width, goal)
    if goal.label_loss == "focal":
        counts = None
    return Learner(student, matchers), Objective(goal, softener, counts)


def _fit(
    learner: Learner,
    lesson: Lesson,
    objective: Objective,
    *,
    rounds: int,
    per_epoch: int,
    patience: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path | None,
    settings: str,
    tell: Callable[[int], None],
) -> Trained:
    """Train in place by the one loop, a check after every epoch, and judge the best weights."""
    history: list[Epoch] = []
    start: State | None = None
    if checkpoint is not None and (kept := load_checkpoint(checkpoint, settings, lesson.device)) is not None:
        start, history = kept[0], [Epoch(*epoch) for epoch in kept[1]]

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        asking = lesson.goal.asks
        output, said = lesson.run(learner, batch.to(lesson.device), asking=asking)
        if asking and lesson.goal.outputs:
            finite(said, "the teacher", 1)
        matched = match_loss(learner, lesson.ours, lesson.theirs)
        return objective(
            output, said, None if batch.labels is None else batch.labels.to(lesson.device), matched
        )

    def validate(net: nn.Module) -> float:
        history.append(_epoch(len(history) + 1, judge(learner, lesson), lesson.figure))
        learner.train()
        return history[-1].value

    def keep(state: State) -> None:
        if checkpoint is not None:
            save_checkpoint(checkpoint, state, settings, [_plain(epoch) for epoch in history])

    tell(len(history))
    learner.train()
    train(
        learner,
        _rounds(lesson.loader, seed, len(history)),
        loss,
        validate,
        steps=rounds * per_epoch,
        learning_rate=learning_rate,
        checks=rounds,
        patience=patience,
        progress=lambda step, steps, best: tell(len(history)),
        start=start,
        keep=keep,
    )
    learner.eval()
    return Trained(learner.student, tuple(history), judge(learner, lesson))


def judge(learner: Learner, lesson: Lesson) -> Judged:
    """Teacher and student on the validation rows, side by side: a loader may shuffle them."""
    goal = lesson.goal
    teacher: list[NDArray[np.float64]] = []
    student: list[NDArray[np.float64]] = []
    labels: list[NDArray[np.int64]] = []
    losses, rows = 0.0, 0
    learner.eval()
    with torch.no_grad():
        for batch in read(lesson.validation):
            output, said = lesson.run(learner, batch.to(lesson.device))
            if goal.outputs:
                finite(said, "the teacher", rows + 1)
                for scores, given in ((teacher, said), (student, output)):
                    score = anomaly_score(given.float(), normal_class=goal.normal_class)
                    scores.append(score.cpu().double().numpy())
            matched = match_loss(learner, lesson.ours, lesson.theirs)
            losses += 0.0 if matched is None else float(matched) * len(batch)
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
        labels=_anomalies(np.concatenate(labels), goal.normal_class) if labels else None,
        features=losses / rows if goal.hints else None,
    )


def _anomalies(labels: NDArray[np.int64], normal_class: int) -> NDArray[np.float64]:
    return np.where(labels < 0, np.nan, (labels != normal_class).astype(np.float64))


def _epoch(number: int, judged: Judged, figure: Figure) -> Epoch:
    agreement = precision = None
    if len(judged.student):
        agreement = spearman(judged.student, judged.teacher) if np.isfinite(judged.student).all() else -1.0
        precision = _average_precision(judged)
    values = {"fidelity": agreement, "average_precision": precision}
    features = None if judged.features is None else -judged.features
    value = features if figure == "features" else values[figure]
    return Epoch(number, -np.inf if value is None else value, agreement, precision)


def _average_precision(judged: Judged) -> float | None:
    if judged.labels is None or why_unmeasured(judged.labels) is not None:
        return None
    known = ~np.isnan(judged.labels)
    anomaly = judged.labels[known] == 1
    return Ranking(judged.student[known]).areas(anomaly.astype(np.float64), (~anomaly).astype(np.float64))[1]


def _figure(wanted: str, goal: Goal, labels: NDArray[np.float64] | None) -> Figure:
    """What validation goes by, and whether it can."""
    unmeasured = why_unmeasured(labels)
    if wanted == "auto":
        if not goal.outputs:
            return "features"
        return "average_precision" if goal.label_weight and unmeasured is None else "fidelity"
    if wanted == "average_precision" and goal.outputs:
        if unmeasured is not None:
            raise InputError(
                f"validate='average_precision': {unmeasured} Give validation rows of both classes."
            )
        return "average_precision"
    if wanted == "fidelity" and goal.outputs:
        return "fidelity"
    if wanted == "features" and goal.hints:
        return "features"
    raise InputError(
        f"validate={wanted!r}: expected 'auto', 'average_precision' or 'fidelity' (they need a loss on outputs), or "
        "'features' (which needs hints)."
    )


def _why_not_alone(goal: Goal, found: Survey, held: NDArray[np.float64] | None) -> str:
    """Why the student cannot be trained on labels alone; "" where it can."""
    if not goal.outputs or goal.student_reads is not None:
        return "The student learns features, so there is nothing to compare it with on labels alone."
    if (why := why_unmeasured(held)) is not None:
        return f"No student on labels alone: {why}"
    labels = None if found.labels is None else _anomalies(found.labels, goal.normal_class)
    if (why := why_unmeasured(labels)) is not None:
        return f"No student on labels alone: {why}"
    return ""


def _rounds(loader: Iterable[Any], seed: int, first: int) -> Iterator[Batch]:
    """Batches without end; each round is seeded by its number, so that a resumed training draws what an undisturbed one does."""
    for number in count(first):
        torch.manual_seed((seed + 1) * 1_000_003 + number)
        empty = True
        for batch in read(loader):
            empty = False
            yield batch
        if empty:
            raise InputError(
                "the loader yields nothing the second time. Hand over an iterable that can be gone through again and again, "
                "such as a DataLoader or a list, not an iterator."
            )


@contextmanager
def _chance(device: torch.device) -> Iterator[None]:
    """Leave torch's generators as they were found."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        yield


@contextmanager
def _lent(student: nn.Module, device: torch.device) -> Iterator[None]:
    """Move a student to a device and, trained, back to where it came from."""
    home = next((tensor.device for tensor in (*student.parameters(), *student.buffers())), device)
    try:
        student.to(device)
        yield
    finally:
        student.to(home).eval()


def _refuse_misuse(teacher: Any, student: Any, epochs: int) -> None:
    for who, model in (("teacher", teacher), ("student", student)):
        if not isinstance(model, nn.Module):
            hint = f" Hand over an object of it: {model.__name__}()." if isinstance(model, type) else ""
            raise InputError(f"{who} is a {type(model).__name__}; expected a torch.nn.Module.{hint}")
    shared = {id(p) for p in teacher.parameters()} & {id(p) for p in student.parameters()}
    if shared:
        raise InputError(
            f"teacher and student share {len(shared)} weights, so training would change the teacher. Hand over a copy: "
            "copy.deepcopy(student)."
        )
    if not any(p.requires_grad for p in student.parameters()):
        raise InputError("the student has no weights to train (none has requires_grad).")
    if epochs < 1:
        raise InputError(f"epochs={epochs}: expected 1 or more.")


def _warnings(teacher: nn.Module, student: nn.Module, validation: Iterable[Any] | None) -> tuple[str, ...]:
    found = []
    ours, theirs = parameters(student), parameters(teacher)
    if ours >= theirs:
        found.append(
            f"The student has {ours:,} weights, its teacher {theirs:,}: nothing is gained in size. Choose a smaller student."
        )
    if validation is None:
        found.append(
            "No validation rows were given: the figures are of the rows that trained, and flatter the student."
        )
    for text in found:
        _log.warning("%s", text)
    return tuple(found)


def _settings(
    goal: Goal,
    teacher: str,
    found: Survey,
    figure: str,
    epochs: int,
    patience: int,
    learning_rate: float,
    precision: torch.dtype,
    seed: int,
) -> str:
    """All that must be the same for a checkpoint to be gone on from."""
    return json.dumps(
        asdict(goal)
        | {
            "teacher": teacher[:16],
            "batches": found.batches,
            "rows": found.rows,
            "validate": figure,
            "epochs": epochs,
            "patience": patience,
            "learning_rate": learning_rate,
            "precision": str(precision),
            "seed": seed,
        }
    )


def _plain(epoch: Epoch) -> tuple[Any, ...]:
    return epoch.epoch, epoch.value, epoch.fidelity, epoch.average_precision


def _silent(step: str, done: int, total: int) -> None:
    """Tell nobody."""
