"""What a teacher is, and the two checked doors to it: ``fit_teacher`` and ``ask``."""

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
# A teacher whose answer depends on the other rows of the batch is asked few at a time, so that the rows that
# it was fitted on, not ours, make its picture of the world.
SMALL_BLOCK_ROWS = 64

_EXTRAS = {"sklearn": ("scikit-learn", "train"), "scipy": ("scipy", "train"), "pyod": ("pyod", "pyod")}
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
        """Scores of its own (n,) training rows as if unseen (leave-one-out, say); None: no such form."""
        ...

    def recipe(self) -> dict[str, Any]:
        """JSON-able: name, parameters, seed, training rows, library versions."""
        ...


def fit_teacher(teacher: Teacher, x: Matrix, *, seed: int) -> Teacher:
    """Fit a copy of a teacher and refuse it where its scores cannot teach.

    Parameters
    ----------
    teacher
        Left as it is.
    x
        (n, d) feature matrix of the training rows, finite; n >= 2.
    seed
        All randomness of the fit.

    Returns
    -------
    The fitted copy.

    Raises
    ------
    TeacherError
        Too few rows, the teacher raised, or it gives every row the same score: its training rows and rows far
        away from them alike.
    """
    if len(x) < 2:
        raise TeacherError(f"teacher '{teacher.name}' needs at least 2 training rows, got {len(x)}.")
    with _foreign(teacher.name, f"fitting {len(x):,} rows of {x.shape[1]:,} features"):
        fitted = copy.copy(teacher).fit(x, seed=seed)
    if not fitted.pointwise:
        _log.warning(
            "teacher '%s' scores a row by the rows beside it, too; it is asked %d rows at a time",
            fitted.name,
            SMALL_BLOCK_ROWS,
        )
    _refuse_constant(fitted, x, seed)
    return fitted


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
    block = BLOCK_ROWS if teacher.pointwise else SMALL_BLOCK_ROWS
    parts = [_ask_block(teacher, x, start, block) for start in range(0, len(x), block)]
    scores = np.concatenate(parts) if parts else np.empty(0)
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        first = int(bad[0])
        raise TeacherError(
            f"teacher '{teacher.name}' gave {len(bad):,} of {len(scores):,} scores that are not finite "
            f"(first: {scores[first]} at row {first + 1:,}). Expected finite numbers, higher = more abnormal."
        )
    return scores


def _ask_block(teacher: Teacher, x: Matrix, start: int, size: int) -> Scores:
    # A copy: foreign code may write into what it is given, and libraries complain about read-only views.
    rows = np.array(x[start : start + size], dtype=np.float32)
    where = f"scoring {len(rows):,} rows" + (f" (from row {start + 1:,} of {len(x):,})" if start else "")
    with _foreign(teacher.name, where):
        answer = np.asarray(teacher.score(rows))
    if answer.dtype.kind not in "biuf":
        raise TeacherError(
            f"teacher '{teacher.name}' answered with {answer.dtype} values; expected one number a row."
        )
    if answer.shape not in {(len(rows),), (len(rows), 1)}:
        raise TeacherError(
            f"teacher '{teacher.name}' answered {where} with shape {answer.shape}; expected ({len(rows)},)."
        )
    return answer.reshape(len(rows)).astype(np.float64)


def _refuse_constant(teacher: Teacher, x: Matrix, seed: int) -> None:
    # Rows seen many times may rightly share one score (their neighbours lie at distance 0), so rows far
    # outside of the training range are asked as well.
    rng = np.random.default_rng(seed)
    near = x[rng.choice(len(x), size=min(len(x), 256), replace=False)]
    reach = 1.0 + np.ptp(near, axis=0)
    far = (near + rng.normal(size=near.shape) * 3.0 * reach).astype(np.float32)
    scores = ask(teacher, np.concatenate([near, far]))
    if np.all(scores == scores[0]):
        raise TeacherError(
            f"teacher '{teacher.name}' gives every row the same score ({scores[0]:g}), so there is nothing "
            "to learn from it. Check its parameters, or choose another teacher."
        )


@contextmanager
def _foreign(name: str, doing: str) -> Iterator[None]:
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
