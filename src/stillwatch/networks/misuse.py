"""Bad use that can be told before anything is trained: what came, what was expected, what to do."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import Dataset, IterableDataset

from stillwatch.errors import InputError
from stillwatch.networks.batches import Batch
from stillwatch.networks.layers import Hint
from stillwatch.networks.objective import Goal
from stillwatch.networks.report import parameters
from stillwatch.networks.survey import Survey

_log = logging.getLogger("stillwatch")


def refuse_networks(teacher: Any, student: Any) -> None:
    """Refuse what is no pair of networks, one of which can be trained without the other.

    Raises
    ------
    InputError
        the message names the network.
    """
    for who, model in (("teacher", teacher), ("student", student)):
        if not isinstance(model, nn.Module):
            hint = f" Hand over an object of it: {model.__name__}()." if isinstance(model, type) else ""
            raise InputError(f"{who} is a {type(model).__name__}; expected a torch.nn.Module.{hint}")
        if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
            raise InputError(
                f"the {who} ({type(model).__name__}) has lazy layers whose sizes are not known yet. Run it on one batch first: "
                f"{who}(batch)."
            )
    shared = {id(p) for p in teacher.parameters()} & {id(p) for p in student.parameters()}
    if shared:
        raise InputError(
            f"teacher and student share {len(shared)} weights, so training would change the teacher. Hand over a copy: "
            "copy.deepcopy(student)."
        )
    if not any(p.requires_grad for p in student.parameters()):
        raise InputError("the student has no weights to train (none has requires_grad).")


def refuse_loader(loader: Any, name: str) -> None:
    """Refuse what would be gone through row by row, or not at all.

    Raises
    ------
    InputError
        the message shows how to make batches of it.
    """
    if isinstance(loader, Tensor):
        raise InputError(
            f"{name} is a tensor, which would be gone through row by row. Hand over TensorBatches({name}) or "
            f"[{name}], a list of one batch."
        )
    if isinstance(loader, Dataset) and not isinstance(loader, IterableDataset):
        raise InputError(
            f"{name} is a {type(loader).__name__}, which yields single rows. Hand over "
            f"torch.utils.data.DataLoader({name}, batch_size=256)."
        )
    if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
        raise InputError(
            f"{name} is a {type(loader).__name__}; expected an iterable of batches, such as a DataLoader."
        )


def refuse_hints(hints: Any) -> tuple[Hint, ...]:
    """Hints as a tuple.

    Raises
    ------
    InputError
        one of them is no `Hint`.
    """
    listed = hints if isinstance(hints, Sequence) and not isinstance(hints, str) else [hints]
    for hint in listed:
        if not isinstance(hint, Hint):
            raise InputError(
                f"a hint is {hint!r}; expected Hint('layer of the teacher', 'layer of the student')."
            )
    return tuple(listed)


def refuse_numbers(epochs: int | None, patience: int, learning_rate: float) -> None:
    """Refuse numbers by which nothing could be trained.

    Raises
    ------
    InputError
        the message names the number.
    """
    for name, value in (("epochs", epochs), ("patience", patience)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise InputError(f"{name}={value!r}: expected a whole number, 1 or more.")
    if not learning_rate > 0:
        raise InputError(f"learning_rate={learning_rate!r}: expected more than 0, such as 1e-3.")


def refuse_reconstruction(output: Tensor, batch: Batch) -> None:
    """Refuse an autoencoder whose reconstruction would be read as logits of as many classes as a row has columns.

    Raises
    ------
    InputError
        the output explains a tenth of the rows' variance or more, which no classifier does.
    """
    rows = batch.inputs
    if not isinstance(rows, Tensor) or rows.shape != output.shape or rows.shape[1:].numel() < 3:
        return
    rows, output = rows.double(), output.double()
    spread = (rows - rows.mean(dim=0)).square().sum()
    if (rows - output).square().sum() < 0.9 * spread:
        raise InputError(
            f"the teacher gives its rows back, {tuple(output.shape)}: this is an autoencoder, whose output is no score. Wrap it: "
            "ReconstructionError(teacher)."
        )


def refuse_probabilities(output: Tensor, network: nn.Module, who: str) -> None:
    """Refuse probabilities where logits are expected: they saturate just where anomalies are.

    Raises
    ------
    InputError
        values of each row are positive and sum to 1, or a single one comes out of a Sigmoid.
    """
    values = output.double()
    if output.ndim == 2 and output.shape[1] > 1:
        found = bool((values >= 0).all()) and bool(((values.sum(dim=1) - 1).abs() < 1e-3).all())
    else:
        last = list(network.modules())[-1]
        found = isinstance(last, nn.Sigmoid) and bool(((values >= 0) & (values <= 1)).all())
    if found:
        raise InputError(
            f"the {who} gives probabilities; expected logits, which do not saturate. Take its last layer (softmax or sigmoid) "
            f"away, or wrap it: Logits({who})."
        )


def warnings_of(
    teacher: nn.Module, student: nn.Module, found: Survey, goal: Goal, *, validated: bool
) -> tuple[str, ...]:
    """Plain sentences on what is allowed and seldom meant; logged, too."""
    said = []
    ours, theirs = parameters(student), parameters(teacher)
    if ours >= theirs:
        said.append(
            f"The student has {ours:,} weights, its teacher {theirs:,}: nothing is gained in size. Choose a smaller student."
        )
    if not validated:
        said.append(
            "No validation rows were given: the figures are of the rows that trained, and flatter the student."
        )
    if goal.loss == "kl" and found.classes == 1 and len(found.scores) and found.scores.min() >= 0:
        said.append(
            "The teacher's value is 0 or more for every row, so it is hardly a logit. For a score or a distance use "
            "loss='regression'; a probability becomes a logit by Logits(teacher)."
        )
    for text in said:
        _log.warning("%s", text)
    return tuple(said)
