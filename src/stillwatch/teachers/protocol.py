"""What a teacher is, and the checked way to ask it."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import MissingExtraError, StillwatchError, TeacherError

Regime = Literal["normal", "all"]
"""Whether the training rows are known to be normal, or may hold anomalies."""

Matrix = NDArray[np.float32]
Scores = NDArray[np.float64]

BLOCK_ROWS = 8_192

_EXTRAS = {
    "torch": ("torch", "train"),
    "sklearn": ("scikit-learn", "train"),
    "scipy": ("scipy", "train"),
    "pyod": ("pyod", "pyod"),
}
_log = logging.getLogger("stillwatch")


@runtime_checkable
class Teacher(Protocol):
    """A detector over the (n, d) float32 feature matrix. Higher score = more abnormal.

    ``fit`` keeps its results on itself, in new objects: ``fit_teacher`` works on a shallow copy, so that one
    description can be fitted on many folds.
    """

    name: str
    pointwise: bool
    """Whether the score of a row is the same in whatever batch it is asked."""

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Fit on (n, d) rows and return the fitted teacher."""
        ...

    def score(self, x: Matrix) -> Scores:
        """Raw (n,) scores, finite, higher = more abnormal."""
        ...

    def training_scores(self) -> Scores | None:
        """Scores of its own (n,) training rows as if unseen (leave-one-out, say); None: no such form.

        NaN for rows that it was given but did not learn from, where it draws a sample: to ask about them is as good.
        """
        ...

    def recipe(self) -> dict[str, Any]:
        """JSON-able: name, parameters, seed, training rows, library versions."""
        ...


@runtime_checkable
class Combination(Teacher, Protocol):
    """A teacher made of members, each of which looks after how it is asked."""

    def member_scores(self, x: Matrix) -> NDArray[np.float64]:
        """(n, members) scores of (n, d) rows, brought to one scale; higher = more abnormal."""
        ...

    def training_member_scores(self) -> NDArray[np.float64]:
        """(n, members) the same for its own training rows, as if unseen where a member has that form.

        A row of NaN where it did not learn from the row.
        """
        ...

    def combine(self, members: NDArray[np.float64]) -> Scores:
        """(n, members) scores of members to the (n,) scores that `score` gives."""
        ...


def ask_members(teacher: Combination, x: Matrix) -> NDArray[np.float64]:
    """(n, members) scores of (n, d) rows by each member of a combination, finite.

    Raises
    ------
    TeacherError
        A member failed, or gave a score that is not finite.
    """
    with foreign(teacher.name, f"scoring {len(x):,} rows"):
        members = np.asarray(teacher.member_scores(np.array(x, dtype=np.float32)), dtype=np.float64)
    if not np.isfinite(members).all():
        raise TeacherError(
            f"teacher '{teacher.name}' has a member that gave scores that are not finite. Expected finite numbers."
        )
    return members


def disagreement(members: NDArray[np.float64]) -> Scores:
    """(n,) standard deviation of the (n, members) scores of a combination."""
    return np.asarray(members.std(axis=1))


def fit_copy(teacher: Teacher, x: Matrix, *, seed: int) -> Teacher:
    """Fit a copy of a teacher; what it raises becomes a TeacherError that names it."""
    with foreign(teacher.name, f"fitting {len(x):,} rows of {x.shape[1]:,} features"):
        return copy.copy(teacher).fit(x, seed=seed)


def ask(teacher: Teacher, x: Matrix) -> Scores:
    """Score rows with a fitted teacher, in blocks, and check the answer.

    Parameters
    ----------
    teacher
        Fitted.
    x
        (n, d) feature matrix, as wide as the one it was fitted on; never modified.

    Returns
    -------
    (n,) float64, finite, higher = more abnormal.

    Raises
    ------
    TeacherError
        The teacher raised, or answered with another length, something that is no number, NaN or infinity.
    """
    parts = [_ask_block(teacher, x, start) for start in range(0, len(x), BLOCK_ROWS)]
    scores = np.concatenate(parts) if parts else np.empty(0)
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        first = int(bad[0])
        raise TeacherError(
            f"teacher '{teacher.name}' gave {len(bad):,} of {len(scores):,} scores that are not finite "
            f"(first: {scores[first]} at row {first + 1:,}). Expected finite numbers, higher = more abnormal."
        )
    return scores


def answer(teacher: Teacher, x: Matrix, where: str = "") -> Scores:
    """Ask about all rows in one batch, and check the form of the answer.

    Raises
    ------
    TeacherError
        The teacher raised, or answered with another length, or something that is no number.
    """
    # A copy: foreign code may write into what it is given, and libraries complain about read-only views.
    rows = np.array(x, dtype=np.float32)
    doing = f"scoring {len(rows):,} rows{where}"
    with foreign(teacher.name, doing):
        scores = np.asarray(teacher.score(rows))
    if scores.dtype.kind not in "biuf":
        raise TeacherError(
            f"teacher '{teacher.name}' answered with {scores.dtype} values; expected one number a row."
        )
    if scores.shape not in {(len(rows),), (len(rows), 1)}:
        raise TeacherError(
            f"teacher '{teacher.name}' answered {doing} with shape {scores.shape}; expected ({len(rows)},)."
        )
    return scores.reshape(len(rows)).astype(np.float64)


def filled(own: Scores | None, teacher: Teacher, x: Matrix) -> Scores:
    """(n,) training scores; about the (n, d) rows of which none is known (NaN; None: all) the fitted teacher is asked."""
    if own is None:
        return ask(teacher, x)
    unknown = np.isnan(own)
    complete = own.copy()
    complete[unknown] = ask(teacher, x[unknown])
    return complete


def _ask_block(teacher: Teacher, x: Matrix, start: int) -> Scores:
    where = f" (from row {start + 1:,} of {len(x):,})" if start else ""
    return answer(teacher, x[start : start + BLOCK_ROWS], where)


@contextmanager
def foreign(name: str, doing: str) -> Iterator[None]:
    """Map what foreign code raises to TeacherError; its warnings become log lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except StillwatchError:
            raise
        except ModuleNotFoundError as exc:
            package, extra = _EXTRAS.get((exc.name or "").partition(".")[0], (None, ""))
            if package is None:
                raise TeacherError(f"teacher '{name}' needs {exc.name}, which is not installed.") from exc
            raise MissingExtraError(package, extra) from exc
        except Exception as exc:
            raise TeacherError(f"teacher '{name}' raised {type(exc).__name__} while {doing}: {exc}") from exc
    for text in {f"{w.category.__name__}: {w.message}" for w in caught}:
        _log.info("teacher '%s' warned while %s: %s", name, doing, text)
