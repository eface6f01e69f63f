"""A teacher that learns only from the rows that lie deepest, for rows that may hold anomalies."""

from __future__ import annotations

from typing import Any, Self

from stillwatch.errors import TeacherError
from stillwatch.teachers.detector import Detector
from stillwatch.teachers.function import Function
from stillwatch.teachers.protocol import Matrix, Scores, Teacher, fit_copy
from stillwatch.teachers.purify import SET_ASIDE, core_rows, scores_of_core
from stillwatch.teachers.sklearn import IsolationForest


class Purified:
    """A teacher fitted on the core of the rows: all but the 30 % that three robust detectors put farthest out.

    A detector that looks closely takes anomalies among its training rows for normal ones, the more so where they lie together.
    How much is set aside does not hang on how many anomalies there are, which cannot be told without labels: to set aside too
    much costs little (`docs/decisions/006-auto.md`). `docs/decisions/012-correcting.md` has what it gains.

    Parameters
    ----------
    teacher
        unfitted.

    Raises
    ------
    TeacherError
        the teacher is not fitted here: a function, or a detector that came fitted.
    """

    def __init__(self, teacher: Teacher) -> None:
        if isinstance(teacher, Function) or (isinstance(teacher, Detector) and teacher.came_fitted):
            raise TeacherError(
                f"teacher '{teacher.name}' is asked as it is, so no rows can be kept from it. Hand over an unfitted "
                "detector, or do not purify."
            )
        self.name = teacher.name
        self.pointwise = teacher.pointwise
        self._given = teacher

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Find the core, and fit the teacher on it."""
        forest = IsolationForest().fit(x, seed=seed)
        core = core_rows(x, forest, set_aside=SET_ASIDE, seed=seed)
        self._rows, self._core = len(x), int(core.sum())
        self._teacher = fit_copy(self._given, x[core], seed=seed)
        self._training = scores_of_core(self._teacher, core)
        return self

    def score(self, x: Matrix) -> Scores:
        """Ask the teacher."""
        return self._teacher.score(x)

    def training_scores(self) -> Scores | None:
        """Scores of all rows as if unseen, where the teacher has that form: those outside the core were unseen."""
        return self._training

    def recipe(self) -> dict[str, Any]:
        """Recipe of the teacher, and how many rows it learnt from."""
        return self._teacher.recipe() | {"purified": {"rows": self._rows, "core_rows": self._core}}
