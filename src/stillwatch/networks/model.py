"""A distilled network as a model of the project: raw rows in, scores, p-values and alerts out, saved as one folder."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from stillwatch.distillation.fit import Fitted
from stillwatch.distillation.model import make_model, make_sketches
from stillwatch.distillation.result import Distillation, Evaluated
from stillwatch.errors import StudentError
from stillwatch.graph import Graph
from stillwatch.knowledge.extract import Asker
from stillwatch.knowledge.knowledge import TRAIN, Knowledge
from stillwatch.knowledge.soften import fit_softener
from stillwatch.networks.export import flat_network, score_rows, write_network
from stillwatch.networks.frozen import weights_digest
from stillwatch.networks.report import parameters
from stillwatch.networks.result import NetworkDistillation
from stillwatch.networks.table import NetworkTable
from stillwatch.scorer import Scorer
from stillwatch.teachers.fit import fit_teacher
from stillwatch.teachers.recipe import write_recipe


def network_model(
    table: NetworkTable, distilled: NetworkDistillation, *, alert_rate: float = 0.01, seed: int = 0
) -> Distillation:
    """Put the features of a table and a distilled network into one graph, calibrated on rows that no network has seen.

    Parameters
    ----------
    table
        what `read_table` returned, from whose rows the student learnt.
    distilled
        its student takes the feature matrix.
    alert_rate
        share of normal rows that may raise an alarm by default.
    seed
        of golden rows and intervals.

    Returns
    -------
    As `stillwatch.distill`: the scorer, a report, and `save`.

    Raises
    ------
    StudentError
        the student cannot be exported, or learns features alone and so gives no score.
    """
    if not distilled.goal.outputs:
        raise StudentError("This student gives features, no score. Export its discrepancy detector instead.")
    x = table.features.transform(table.rows.take(table.split.fit))
    normal_class = distilled.goal.normal_class
    teacher = fit_teacher(NetworkTeacher(distilled.teacher, normal_class), x, seed=seed)
    asker = Asker(teacher, x)
    student = NetworkStudent(distilled, normal_class)
    fitted = Fitted(table.features, asker, _knowledge(table, asker, x, distilled, seed), student, {})
    evaluated = _evaluate(fitted, table)
    fit = table.rows.take(table.split.fit)
    sketches = make_sketches(fitted, table.rows, table.split, evaluated)
    manifest, model = make_model(
        fitted, evaluated, fit, None, sketches, regime=table.regime, alert_rate=alert_rate, seed=seed
    )
    return Distillation(
        source=table.source,
        fitted=fitted,
        split=table.split,
        evaluated=evaluated,
        manifest=manifest,
        model=model,
        scorer=Scorer(manifest, model),
        warnings=distilled.warnings,
        seconds={},
        call={"alert_rate": alert_rate, "seed": seed},
        function="stillwatch.networks.network_model",
    )


class NetworkTeacher:
    """A trained network over the feature matrix, as a teacher of the project."""

    pointwise = True

    def __init__(self, network: nn.Module, normal_class: int = 0) -> None:
        self.name = f"network:{type(network).__name__}"
        self._network, self._normal_class = network, normal_class

    def fit(self, x: NDArray[np.float32], *, seed: int) -> Self:
        """Learn nothing: it came trained."""
        self._rows = len(x)
        return self

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) anomaly scores; see `networks.score`."""
        return score_rows(self._network, x, normal_class=self._normal_class).astype(np.float64)

    def training_scores(self) -> None:
        """Return None: it does not say which rows it saw."""

    def recipe(self) -> dict[str, Any]:
        """Class, size, and digest of the weights: words cannot train it again."""
        about = {"parameters": parameters(self._network), "weights": weights_digest(self._network)}
        return write_recipe(self.name, about, seed=None, rows=self._rows, packages=("torch", "numpy"))


class NetworkStudent:
    """A distilled network, as a student of the project."""

    def __init__(self, distilled: NetworkDistillation, normal_class: int = 0) -> None:
        self.name = f"network:{type(distilled.student).__name__}"
        self.distilled, self.normal_class = distilled, normal_class

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Any = None) -> Self:
        """Refuse: `distill_network` trained it."""
        raise StudentError("A distilled network is trained already; train another one by distill_network.")

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) scores without the guard."""
        return score_rows(self.distilled.student, x, normal_class=self.normal_class)

    def write(self, graph: Graph, matrix: str) -> str:
        """Put the network's nodes into a graph; return the name of [n, 1]."""
        width = self.distilled.sample.first.shape[1]
        return write_network(
            graph, flat_network(self.distilled.student, (width,), self.normal_class), matrix, width
        )

    def describe(self) -> dict[str, Any]:
        """Name, parameters, and what it was trained for."""
        goal = self.distilled.goal
        return {
            "name": self.name,
            "parameters": parameters(self.distilled.student),
            "loss": goal.loss,
            "temperature": goal.temperature,
            "label_weight": goal.label_weight,
            "jitter": self.distilled.jitter,
            "hints": [[hint.teacher, hint.student, hint.distance, hint.weight] for hint in goal.hints],
        }

    @property
    def history(self) -> tuple[tuple[int, float], ...]:
        """(epoch, validation fidelity)."""
        return tuple((e.epoch, e.fidelity) for e in self.distilled.trained.epochs if e.fidelity is not None)


def _knowledge(
    table: NetworkTable, asker: Asker, x: NDArray[np.float32], distilled: NetworkDistillation, seed: int
) -> Knowledge:
    """What the teacher says of the rows that fit, in the form of the main job."""
    raw = asker.ask(x)
    softener = distilled.softener or fit_softener(raw, raw)
    held = np.zeros(len(x), dtype=np.bool_)
    held[table.held] = True
    return Knowledge(
        x=x,
        raw=raw,
        soft=softener.soften(raw),
        guard=table.features.guard(table.features.encode(table.rows.take(table.split.fit))),
        kind=np.full(len(x), TRAIN),
        held_out=held,
        provenance={
            "teacher": asker.teacher.recipe(),
            "pointwise": asker.teacher.pointwise,
            "training_scores": "in-sample",
            "softening": {
                "form": "asinh((raw - center) / scale)",
                "center": softener.center,
                "scale": softener.scale,
            },
            "rows": {TRAIN: len(table.learn), "synthetic": max(0, distilled.rows - len(table.learn))},
            "seed": seed,
        },
    )


def _evaluate(fitted: Fitted, table: NetworkTable) -> Evaluated:
    """Teacher and student on the rows that neither has seen."""
    index = np.concatenate([table.split.calibration, table.split.others])
    rows = table.rows.take(index)
    return Evaluated(
        teacher=fitted.soften(fitted.teacher_score(rows)),
        student=fitted.student_score(rows),
        labels=None if table.labels is None else table.labels[index],
        index=index,
        calibrating=len(table.split.calibration),
        approximate=False,
        rows=rows,
    )
