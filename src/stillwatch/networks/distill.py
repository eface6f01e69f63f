"""Any PyTorch teacher into any PyTorch student, top to bottom: survey, rehearsal, training, the same on labels alone."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from torch import Tensor, nn

from stillwatch.knowledge.soften import fit_softener
from stillwatch.networks.answer import finite
from stillwatch.networks.batches import Batch, rounds
from stillwatch.networks.checkpoint import load_checkpoint, save_checkpoint
from stillwatch.networks.device import Precision, choose_device, choose_precision, own_chance
from stillwatch.networks.frozen import frozen, lent, weights_digest
from stillwatch.networks.jitter import Jitter, largest_jitter
from stillwatch.networks.layers import Hint, Matcher, feature, recorded
from stillwatch.networks.lesson import Figure, Lesson
from stillwatch.networks.misuse import (
    refuse_hints,
    refuse_loader,
    refuse_networks,
    refuse_numbers,
    refuse_probabilities,
    refuse_reconstruction,
    warnings_of,
)
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
from stillwatch.networks.report import Epoch
from stillwatch.networks.result import NetworkDistillation, Trained
from stillwatch.networks.survey import Survey, survey
from stillwatch.networks.validation import epoch_of, figure_of, judge, why_not_alone
from stillwatch.training.loop import State, train

Progress = Callable[[str, int, int], None]


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
    jitter: float | Literal["auto"] = "auto",
    label_weight: float = 0.0,
    label_loss: LabelLoss = "class_balanced",
    normal_class: int = 0,
    validate: Literal["auto"] | Figure = "auto",
    labels_alone: bool = True,
    epochs: int | None = None,
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
    jitter
        half of the rows of each training batch are moved, by up to so many standard deviations, in some or all of their
        columns, and lose their label: both networks are asked where anomalies may lie. "auto": 10 for "regression" and
        "ranking" of rows that are one tensor of floating point numbers, 0 otherwise.
    label_weight
        share of the true labels in the loss; 0: labels in `loader` change nothing.
    label_loss
        "class_balanced" or "focal", for labels of rare classes.
    normal_class
        the label, and the logit, of normal rows.
    validate
        what decides which epoch is best: "loss" (agreement with the teacher as the loss measures it), "fidelity" (as ranks
        do, among which the many normal rows outvote the few anomalies) or "average_precision" against labels. "auto": average
        precision if labels count (`label_weight`) and both classes are there, the loss otherwise.
    labels_alone
        train a copy of the student on the true labels alone, too, where there are any, so that the report can say what the
        teacher gave. Doubles the time.
    epochs
        most of them; None: 30, and where the loader is short as many as make 2,500 steps, but no more than 200.
    patience, learning_rate
        epochs without a new best before training stops; AdamW's highest rate.
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
    refuse_networks(teacher, student)
    refuse_loader(loader, "loader")
    refuse_loader([] if validation is None else validation, "validation")
    refuse_numbers(epochs, patience, learning_rate)
    goal = Goal(loss, temperature, refuse_hints(hints), label_weight, label_loss, normal_class, student_reads)
    chosen = choose_device(device)
    number = choose_precision(precision, chosen)
    tell = progress or _silent
    untaught = copy.deepcopy(student) if labels_alone and label_weight < 1 else None
    layers = [hint.teacher for hint in goal.hints] + ([student_reads] if student_reads is not None else [])
    with (
        own_chance(chosen),
        frozen(teacher, chosen),
        lent(student, chosen),
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
        most = epochs or default_epochs(found.batches)
        warnings = warnings_of(teacher, student, found, goal, validated=validation is not None)
        held = loader if validation is None else validation
        largest = largest_jitter(jitter, goal, found.first)
        moving = None if not largest or found.deviations is None else Jitter(largest, found.deviations)
        lesson = Lesson(teacher, loader, held, chosen, number, goal, theirs, ours, moving)
        learner, objective = _prepare(lesson, student, found)
        lesson = replace(lesson, figure=figure_of(validate, goal, judge(learner, lesson, objective).labels))
        settings = _settings(
            lesson, student, found, epochs=most, patience=patience, learning_rate=learning_rate, seed=seed
        )

        def fit(learner: Learner, lesson: Lesson, objective: Objective, name: str, step: str) -> Trained:
            path = None if checkpoint is None else Path(checkpoint) / name
            return _fit(
                learner,
                lesson,
                objective,
                epochs=most,
                per_epoch=found.batches,
                patience=patience,
                learning_rate=learning_rate,
                seed=seed,
                checkpoint=path,
                settings=settings,
                tell=lambda done: tell(step, done, most),
            )

        trained = fit(learner, lesson, objective, "student.pt", "train student")
        alone, note = None, ""
        if label_weight == 1:
            note = "This student learnt from labels alone."
        elif untaught is None:
            note = "The student on labels alone was not asked for."
        elif why := why_not_alone(goal, found.labels, trained.judged.labels):
            note = why
        else:
            hard = replace(goal, loss=None, hints=(), label_weight=1.0, student_reads=None)
            by_labels = replace(lesson, goal=hard, ours={}, jitter=None, figure="average_precision")
            with lent(untaught, chosen):
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
        jitter=largest,
        sample=found.first,
    )


def default_epochs(batches: int) -> int:
    """Epochs of 2,500 steps, 30 to 200: a student of a small table is not done after 30 rounds (decision 8)."""
    return min(200, max(30, math.ceil(2_500 / batches)))


def _prepare(lesson: Lesson, student: nn.Module, found: Survey) -> tuple[Learner, Objective]:
    """Rehearse one batch, so that whatever does not fit shows before anything is trained."""
    goal, batch = lesson.goal, found.first.to(lesson.device)
    student.eval()
    with torch.no_grad():
        output, said = lesson.run(Learner(student, []), batch)
    if goal.outputs:
        check_outputs(output, said, goal)
        refuse_probabilities(output, student, "student")
        if goal.loss is not None:
            refuse_reconstruction(said, batch)
        if goal.loss == "kl":
            refuse_probabilities(said, lesson.teacher, "teacher")
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
    epochs: int,
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
        batch = (lesson.jitter(batch) if lesson.jitter else batch).to(lesson.device)
        output, said = lesson.run(learner, batch, asking=asking)
        if asking and lesson.goal.outputs:
            far = (
                f", asked about rows moved by up to jitter={lesson.jitter.largest:g},"
                if lesson.jitter
                else ""
            )
            finite(said, "the teacher" + far, 1)
        matched = match_loss(learner, lesson.ours, lesson.theirs)
        return objective(output, said, batch.labels, matched)

    def validate(net: nn.Module) -> float:
        history.append(epoch_of(len(history) + 1, judge(learner, lesson, objective), lesson.figure))
        learner.train()
        return history[-1].value

    def keep(state: State) -> None:
        if checkpoint is not None:
            save_checkpoint(
                checkpoint, state, settings, [msgspec.structs.astuple(epoch) for epoch in history]
            )

    tell(len(history))
    learner.train()
    train(
        learner,
        rounds(lesson.loader, seed, len(history)),
        loss,
        validate,
        steps=epochs * per_epoch,
        learning_rate=learning_rate,
        checks=epochs,
        patience=patience,
        progress=lambda step, steps, best: tell(len(history)),
        start=start,
        keep=keep,
    )
    learner.eval()
    return Trained(learner.student, tuple(history), judge(learner, lesson, objective))


def _settings(lesson: Lesson, student: nn.Module, found: Survey, **numbers: float) -> str:
    """All that must be the same for a checkpoint to be gone on from."""
    layout = [(name, *value.shape) for name, value in student.state_dict().items()]
    return json.dumps(
        asdict(lesson.goal)
        | {
            "teacher": weights_digest(lesson.teacher)[:16],
            "student": hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:16],
            "batches": found.batches,
            "rows": found.rows,
            "validate": lesson.figure,
            "precision": str(lesson.precision),
            "jitter": lesson.jitter.largest if lesson.jitter else 0,
        }
        | numbers
    )


def _silent(step: str, done: int, total: int) -> None:
    """Tell nobody."""
