"""A distilled detector as a PyOD detector: higher scores are more abnormal, label 1 is an outlier.

>>> import numpy as np
>>> from stillwatch import MLP
>>> X = np.random.default_rng(0).normal(size=(60, 2))
>>> detector = DistilledDetector(teacher="knn", student=MLP(hidden=(16,), steps=300)).fit(X)
>>> detector.predict(np.array([[0.1, 0.2], [40.0, -30.0]])).tolist()
[0, 1]
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pyod.models.base import BaseDetector
from sklearn.utils.validation import check_array, check_is_fitted

from stillwatch.distillation.distill import distill
from stillwatch.distillation.split import FEWEST_ROWS


class DistilledDetector(BaseDetector):  # type: ignore[misc]
    """PyOD detector that distills a heavy one and scores in microseconds.

    `predict`, `predict_proba`, `predict_confidence` and `predict_with_rejection` are PyOD's own.

    Parameters
    ----------
    contamination
        share of the training rows that is called outliers, in (0, 0.5].
    teacher, student
        as in `stillwatch.distill`; a teacher may be a PyOD detector.
    assume_normal
        True: every training row is normal.
    random_state
        decides everything random.

    Attributes
    ----------
    decision_scores_
        (n,) scores of the training rows, by the student.
    labels_
        (n,) 1 where a training row scores above `threshold_`.
    threshold_
        quantile of `decision_scores_` at 1 - contamination.
    distillation_, scorer_
        report, teacher and `save`; the model in use.
    """

    def __init__(
        self,
        contamination: float = 0.1,
        teacher: Any = "auto",
        student: Any = "auto",
        assume_normal: bool = False,
        random_state: int = 0,
    ) -> None:
        super().__init__(contamination=contamination)
        self.teacher = teacher
        self.student = student
        self.assume_normal = assume_normal
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - PyOD's name
        """Distill; y is ignored.

        Parameters
        ----------
        X
            (n, d) array of numbers, NaN = missing, or a dataframe of any kinds of columns; at least 5 rows.
        """
        rows = _rows(X, fewest=FEWEST_ROWS)
        self._set_n_classes(y)
        self.n_features_in_ = np.shape(X)[1]
        self.distillation_ = distill(
            rows,
            teacher=self.teacher,
            student=self.student,
            assume_normal=self.assume_normal,
            seed=self.random_state,
        )
        self.scorer_ = self.distillation_.scorer
        self.decision_scores_ = self._score(rows)
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """(n,) scores; higher = more abnormal."""
        check_is_fitted(self, ["decision_scores_", "threshold_", "labels_"])
        return self._score(_rows(X, fewest=1))

    def _score(self, rows: Any) -> NDArray[np.float64]:
        return self.scorer_.score(rows).astype(np.float64)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "distillation_"}


def _rows(X: Any, *, fewest: int) -> Any:  # noqa: N803
    """X as the packer takes it: dataframes as they are, all else as an array of numbers."""
    if hasattr(X, "__arrow_c_stream__"):
        return X
    return check_array(X, ensure_all_finite="allow-nan", ensure_min_samples=fewest)
