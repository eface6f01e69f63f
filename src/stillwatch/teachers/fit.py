"""The checked door to a fitted teacher: fit it, find out how it answers, refuse it where it cannot teach."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any, Self

import numpy as np

from stillwatch.errors import TeacherError
from stillwatch.teachers.health import Health, examine
from stillwatch.teachers.probe import answers_differently
from stillwatch.teachers.protocol import Combination, Matrix, Scores, Teacher, answer, ask, fit_copy
from stillwatch.teachers.sample import uniform_sample

# A teacher that judges a row by the rows beside it sees the asked rows as at most 1 % of a batch, so that the
# rows it was fitted on, not ours, make its picture of the world.
ASKED_AT_ONCE = 64
CROWD = 99  # training rows for each asked one

_log = logging.getLogger("stillwatch")


class FittedTeacher:
    """A teacher after `fit_teacher`: it answers as the teacher does, and knows what was found out about it.

    Attributes
    ----------
    teacher
        the fitted teacher itself.
    pointwise
        whether it was seen to score a row the same alone and in a batch. Where it does not, rows are asked
        among training rows.
    """

    def __init__(self, teacher: Teacher, x: Matrix, *, seed: int, pointwise: bool) -> None:
        self.teacher = teacher
        self.name = teacher.name
        self.pointwise = pointwise
        self._x, self._seed = x, seed
        self._crowd = x[uniform_sample(len(x), CROWD * ASKED_AT_ONCE, seed)]
        self._at_once = max(1, len(self._crowd) // CROWD)
        # The members of a combination look after that themselves.
        self._asked_among = not pointwise and self.members is None

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Fit the same description on other rows."""
        return type(self)(fit_copy(self.teacher, x, seed=seed), x, seed=seed, pointwise=self.pointwise)

    def score(self, x: Matrix) -> Scores:
        """Raw (n,) scores; of a teacher that is not pointwise, each among training rows."""
        if not self._asked_among:
            return self.teacher.score(x)
        parts = [self._among(x[at : at + self._at_once]) for at in range(0, len(x), self._at_once)]
        return np.concatenate(parts) if parts else np.empty(0)

    @property
    def members(self) -> Combination | None:
        """The teacher, where it is made of members that can be asked one by one."""
        return self.teacher if isinstance(self.teacher, Combination) else None

    def training_scores(self) -> Scores | None:
        """Exact scores of the training rows as if unseen, where the teacher has that form; NaN where a row was not drawn."""
        return self.teacher.training_scores()

    def recipe(self) -> dict[str, Any]:
        """Recipe of the teacher; and among how many training rows it was asked, where it is not pointwise."""
        if not self._asked_among:
            return self.teacher.recipe()
        return self.teacher.recipe() | {
            "asked_among": {"training_rows": len(self._crowd), "asked_rows": self._at_once}
        }

    @cached_property
    def health(self) -> Health:
        """What can be said without labels; computed when first asked for, once."""
        own = getattr(self.teacher, "health", None)  # of a teacher that holds a fitted one
        return own if isinstance(own, Health) else examine(self.teacher, self, self._x, seed=self._seed)

    def _among(self, rows: Matrix) -> Scores:
        return answer(self.teacher, np.concatenate([self._crowd, rows]))[-len(rows) :]


def fit_teacher(teacher: Teacher, x: Matrix, *, seed: int) -> FittedTeacher:
    """Fit a copy of a teacher and refuse it where its scores cannot teach.

    Parameters
    ----------
    teacher
        Left as it is; what was fitted before is fitted anew.
    x
        (n, d) feature matrix of the training rows, finite; n >= 2.
    seed
        All randomness of the fit.

    Returns
    -------
    The fitted copy. Where it scores a row otherwise alone than in a batch, or says that it does, it is recorded as not pointwise
    and asked among training rows.

    Raises
    ------
    TeacherError
        Too few rows, the teacher raised, its answers are of the wrong form or not finite, or it gives every row
        the same score: its training rows and rows far away from them alike.
    """
    teacher = teacher.teacher if isinstance(teacher, FittedTeacher) else teacher
    if len(x) < 2:
        raise TeacherError(f"teacher '{teacher.name}' needs at least 2 training rows, got {len(x)}.")
    bare = fit_copy(teacher, x, seed=seed)
    rows = _near_and_far(x, seed)
    together = ask(bare, rows)
    if np.all(together == together[0]):
        raise TeacherError(
            f"teacher '{bare.name}' gives every row the same score ({together[0]:g}), so there is nothing "
            "to learn from it. Check its parameters, or choose another teacher."
        )
    pointwise = bare.pointwise and not answers_differently(bare, rows, together)
    fitted = FittedTeacher(bare, x, seed=seed, pointwise=pointwise)
    if fitted._asked_among:
        _log.warning(
            "teacher '%s' scores a row by the rows beside it, too; %d row%s at a time %s asked among %s training rows, "
            "so that the answers depend on these alone. That is about a hundred times the work.",
            fitted.name,
            fitted._at_once,
            *(("", "is") if fitted._at_once == 1 else ("s", "are")),
            f"{len(fitted._crowd):,}",
        )
    return fitted


def _near_and_far(x: Matrix, seed: int) -> Matrix:
    """Draw training rows, and as many far outside of the training range.

    Rows seen many times may rightly share one score (their neighbours lie at distance 0); far ones then tell.
    """
    rng = np.random.default_rng(seed)
    near = x[rng.choice(len(x), size=min(len(x), 256), replace=False)]
    reach = 1.0 + np.ptp(near, axis=0)
    far = near + rng.normal(size=near.shape) * 3.0 * reach
    return np.concatenate([near, far.astype(np.float32)])
