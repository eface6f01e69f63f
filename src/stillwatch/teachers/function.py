"""A plain function as teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from stillwatch.teachers.probe import answers_digest
from stillwatch.teachers.protocol import Matrix, Scores
from stillwatch.teachers.recipe import write_recipe


class Function:
    """A function from the (n, d) float32 feature matrix to (n,) scores, higher = more abnormal."""

    def __init__(self, function: Callable[[Matrix], Any]) -> None:
        self.name = f"function:{getattr(function, '__name__', type(function).__name__)}"
        self.pointwise = True
        self._function = function

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Learn nothing; take down a few answers."""
        self._rows = len(x)
        self._answers = answers_digest(self, x)
        return self

    def score(self, x: Matrix) -> Scores:
        """Call the function."""
        return np.asarray(self._function(x))

    def training_scores(self) -> None:
        """Return None: it was not fitted here."""

    def recipe(self) -> dict[str, Any]:
        """Name it, and tell it from others of that name by its answers: words cannot refit a function."""
        return write_recipe(
            self.name, {"answers": self._answers}, seed=None, rows=self._rows, packages=("numpy",)
        )
