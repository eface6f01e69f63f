"""Capacity: the most faithful student that a budget of time and room allows.

Every choice of family and size is trained on the same knowledge, exported, and measured: how far it agrees with the teacher, on
real rows held out and on a kind of row that no student trains on; what it weighs; what a row costs. Choices of a family come by
size: once one lies outside the budget, larger ones are not trained, and where a size is given, only the two largest that it can
hold are.

Fidelity and bytes repeat; a latency is a clock's. So it is measured once and recorded, and a search that is given recorded costs
decides as the one that recorded them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import InputError, StudentError
from stillwatch.evaluation.fidelity import upper_spearman
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.held_out import held_out_agreement
from stillwatch.students.protocol import Student
from stillwatch.students.sizes import Choice, least_bytes, worth_trying

KILOBYTE = 1_000
ROOM = 0.9  # share of the latency that a measurement may use: the next one is not the same
_ALIKE = 0.0005  # fidelities closer than this count as one, and the smaller student wins
_FAR = 1.2  # share of the latency beyond which a clock cannot be wrong

Export = Callable[[Student], bytes]
Told = Callable[[int, int], None]


class Latencies(Protocol):
    """A clock; see `cost.latencies`."""

    def __call__(self, models: Mapping[str, bytes], *, moments: int = ...) -> dict[str, float]:
        """Microseconds of one row by name, as slow as it is in so many moments."""
        ...


@dataclass(frozen=True)
class Budget:
    """What a student may cost, and how faithful it must be.

    Parameters
    ----------
    latency_us
        most microseconds for one row, raw values in, by onnxruntime on one core of this machine in its slow moments; None: any.
    size_kb
        most kilobytes (of 1,000) of `model.onnx`; None: any.
    fidelity
        least rank agreement with the teacher, in (0, 1]: the quickest student that reaches it is enough; None: as faithful as
        latency and size allow.
    costs
        latencies of an earlier search (`d.search.costs`), by the name of the choice: they are used instead of a clock, and no
        other choice is tried, so that the search decides the same.
    """

    latency_us: float | None = None
    size_kb: float | None = None
    fidelity: float | None = None
    costs: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name in ("latency_us", "size_kb"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"{name}={value}: expected a number above 0.")
        if self.fidelity is not None and not 0 < self.fidelity <= 1:
            raise InputError(f"fidelity={self.fidelity}: expected a rank agreement above 0, and 1 at most.")
        if self.costs is not None and not self.costs:
            raise InputError(
                "costs is empty: expected the latencies of an earlier search, by the name of the choice."
            )

    def holds(self, latency_us: float, size: int, *, room: float = ROOM) -> bool:
        """Whether a student of this latency and of so many bytes is inside, with `room` to spare in latency."""
        return (self.latency_us is None or latency_us <= room * self.latency_us) and (
            self.size_kb is None or size <= KILOBYTE * self.size_kb
        )

    def __str__(self) -> str:
        parts = (
            None if self.latency_us is None else f"{self.latency_us:g} µs a row",
            None if self.size_kb is None else f"{self.size_kb:g} KB",
        )
        return " and ".join(part for part in parts if part) or "any cost"


@dataclass(frozen=True)
class Capacity:
    """A student that is yet to be found: what it may cost, and what to try."""

    budget: Budget
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Trial:
    """One student that was trained and measured.

    Attributes
    ----------
    family, size
        what it is; together its name.
    parameters
        numbers that it learnt.
    fidelity
        mean of the next two.
    real, unseen
        rank agreement with the teacher over the upper half of real rows held out, and of rows of a kind that no student
        trains on.
    latency_us
        of one row, by the exported graph, in a slow moment of the machine.
    bytes
        of the exported graph.
    inside
        it keeps to latency and size.
    front
        no other trial is as faithful, as quick and as small, and better in one of these.
    chosen
        it is the student of the distillation.
    """

    family: str
    size: str
    parameters: int | None
    fidelity: float
    real: float
    unseen: float
    latency_us: float
    bytes: int
    inside: bool
    front: bool = False
    chosen: bool = False

    @property
    def name(self) -> str:
        """Family and size."""
        return f"{self.family} {self.size}"


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes
    ----------
    budget
        what was asked for.
    trials
        every student that was trained, the quickest first.
    note
        where the asked fidelity was not reached: what was, and the budget that would reach it; otherwise empty.
    """

    budget: Budget
    trials: tuple[Trial, ...]
    note: str = ""

    @property
    def chosen(self) -> Trial:
        """The trial that became the student."""
        return next(trial for trial in self.trials if trial.chosen)

    @property
    def front(self) -> tuple[Trial, ...]:
        """Trials that no other beats in fidelity, latency and bytes at once, the quickest first."""
        return tuple(trial for trial in self.trials if trial.front)

    @property
    def costs(self) -> dict[str, float]:
        """Measured latencies by name: with `Budget(costs=)`, what makes a rerun decide the same."""
        return {trial.name: trial.latency_us for trial in self.trials}


@dataclass(frozen=True)
class Exam:
    """Rows on which students are compared.

    Attributes
    ----------
    x, asked
        (n, d) features of rows of a kind that no student trains on, and (n,) what the student should answer.
    """

    x: NDArray[np.float32]
    asked: NDArray[np.float32]

    def fidelities(self, student: Student, knowledge: Knowledge) -> tuple[float, float]:
        """Agreement on real rows held out, and on unseen ones."""
        unseen = upper_spearman(student.score(self.x), self.asked) or 0.0
        real = held_out_agreement(student, knowledge)
        return unseen if real is None else real, unseen  # a tiny table holds out too few


def search(
    capacity: Capacity,
    knowledge: Knowledge,
    exam: Exam,
    *,
    export: Export,
    latencies: Latencies,
    seed: int,
    progress: Told | None = None,
) -> tuple[Student, Search]:
    """Train what may fit, measure it, and choose.

    Parameters
    ----------
    export
        student to the bytes of the whole graph, raw values in.
    latencies
        the clock.

    Raises
    ------
    StudentError
        no student is small and quick enough; the message names the smallest and the quickest.
    """
    budget = capacity.budget
    tried = _Workshop(knowledge, exam, budget, export, latencies, seed)
    wanted = [choice for choice in capacity.choices if budget.costs is None or choice.name in budget.costs]
    if not wanted:
        raise StudentError(
            "None of the students to try stands in the recorded costs. Search again without costs."
        )
    most_bytes = None if budget.size_kb is None else KILOBYTE * budget.size_kb
    promising = worth_trying(tuple(wanted), knowledge.x.shape[1], most_bytes)
    left = [choice for choice in wanted if choice not in promising]
    done = set[str]()
    for number, choice in enumerate(promising):
        if choice.family in done:
            left.append(choice)
        else:
            tried.train(choice)
            if tried.too_far(choice):
                done.add(choice.family)
        if progress is not None:
            progress(number + 1, len(promising))
    trials = tried.trials()
    inside = [trial for trial in trials if trial.inside]
    if not inside:
        raise StudentError(_nothing_fits(budget, trials))
    chosen = choose(inside, budget.fidelity)
    note = ""
    if budget.fidelity is not None and chosen.fidelity < budget.fidelity:
        # What would reach it is told from trials, not guessed.
        beyond = sorted(left, key=lambda choice: least_bytes(choice.student, knowledge.x.shape[1]))
        while beyond and not _reached(trials, budget.fidelity):
            tried.train(beyond.pop(0))
            trials = tried.trials()
        note = _shortfall(budget, chosen, trials)
    marked = tuple(
        replace(trial, front=_unbeaten(trial, trials), chosen=trial.name == chosen.name)
        for trial in sorted(trials, key=lambda trial: (trial.latency_us, trial.bytes, trial.name))
    )
    return tried.students[chosen.name], Search(budget, marked, note)


def choose(inside: list[Trial], fidelity: float | None) -> Trial:
    """The most faithful trial, or the quickest that is faithful enough; of equals the smallest."""
    enough = [] if fidelity is None else [trial for trial in inside if trial.fidelity >= fidelity]
    if enough:
        return min(enough, key=lambda trial: (trial.latency_us, trial.bytes, trial.name))
    best = max(trial.fidelity for trial in inside)
    alike = [trial for trial in inside if trial.fidelity > best - _ALIKE]
    return min(alike, key=lambda trial: (trial.bytes, trial.latency_us, trial.name))


class _Workshop:
    """Students by name, with what is known of each."""

    def __init__(
        self,
        knowledge: Knowledge,
        exam: Exam,
        budget: Budget,
        export: Export,
        latencies: Latencies,
        seed: int,
    ) -> None:
        self.students: dict[str, Student] = {}
        self._knowledge, self._exam, self._budget, self._seed = knowledge, exam, budget, seed
        self._export, self._clock = export, latencies
        self._choices: dict[str, Choice] = {}
        self._graphs: dict[str, bytes] = {}
        self._fidelity: dict[str, tuple[float, float]] = {}
        self._costs = dict(budget.costs or {})

    def train(self, choice: Choice) -> None:
        """Train a choice in full."""
        student = copy.copy(choice.student).fit(self._knowledge, seed=self._seed)
        self.students[choice.name], self._choices[choice.name] = student, choice
        self._graphs[choice.name] = self._export(student)
        self._fidelity[choice.name] = self._exam.fidelities(student, self._knowledge)

    def too_far(self, choice: Choice) -> bool:
        """Whether a trained choice is so far outside that larger ones of its family need no trial."""
        graph = self._graphs[choice.name]
        latency = self._costs.get(choice.name) or self._clock({choice.name: graph}, moments=1)[choice.name]
        return not self._budget.holds(latency, len(graph), room=_FAR)

    def trials(self) -> list[Trial]:
        """What is known of those that were trained. Latencies are recorded when they are first asked for, in one run."""
        if new := {name: graph for name, graph in self._graphs.items() if name not in self._costs}:
            self._costs |= self._clock(new)
        return [self._trial(name) for name in self.students]

    def _trial(self, name: str) -> Trial:
        real, unseen = self._fidelity[name]
        size, latency = len(self._graphs[name]), self._costs[name]
        return Trial(
            family=self._choices[name].family,
            size=self._choices[name].size,
            parameters=self.students[name].describe().get("parameters"),
            fidelity=(real + unseen) / 2,
            real=real,
            unseen=unseen,
            latency_us=latency,
            bytes=size,
            inside=self._budget.holds(latency, size),
        )


def _reached(trials: list[Trial], fidelity: float) -> bool:
    return any(trial.fidelity >= fidelity for trial in trials)


def _unbeaten(trial: Trial, trials: list[Trial]) -> bool:
    here = (-trial.fidelity, trial.latency_us, trial.bytes)
    others = [(-other.fidelity, other.latency_us, other.bytes) for other in trials]
    return not any(
        other != here and all(a <= b for a, b in zip(other, here, strict=True)) for other in others
    )


def _shortfall(budget: Budget, chosen: Trial, trials: list[Trial]) -> str:
    said = (
        f"No student within {budget} reaches a fidelity of {budget.fidelity:g}: "
        f"the best, {chosen.name}, has {chosen.fidelity:.3f}. "
    )
    enough = [trial for trial in trials if budget.fidelity is not None and trial.fidelity >= budget.fidelity]
    if not enough:
        best = max(trials, key=lambda trial: trial.fidelity)
        return said + (
            f"Nor does any of the {len(trials)} that were tried, at any cost: {best.name} has {best.fidelity:.3f}."
        )
    least = min(enough, key=lambda trial: (trial.latency_us, trial.bytes))
    return (
        said
        + f"{least.name} reaches {least.fidelity:.3f}; allow {_enough_for(least.latency_us, least.bytes)}."
    )


def _nothing_fits(budget: Budget, trials: list[Trial]) -> str:
    smallest = min(trials, key=lambda trial: (trial.bytes, trial.latency_us))
    quickest = min(trials, key=lambda trial: (trial.latency_us, trial.bytes))
    told = [f"The smallest, {smallest.name}, needs {_enough_for(smallest.latency_us, smallest.bytes)}"]
    if quickest.name != smallest.name:
        told.append(f"the quickest, {quickest.name}, {_enough_for(quickest.latency_us, quickest.bytes)}")
    return f"No student keeps within {budget}: reading the columns alone has its cost. {'; '.join(told)}. Allow more."


def _enough_for(latency_us: float, size: int) -> str:
    """A budget that holds a student of this cost."""
    return f"latency_us={np.ceil(latency_us / ROOM * 10) / 10:g} and size_kb={np.ceil(size / KILOBYTE * 10) / 10:g}"
