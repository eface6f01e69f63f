"""A distilled detector as a scikit-learn estimator: lower scores are more abnormal, -1 is an outlier.

>>> import numpy as np
>>> from stillwatch import MLP
>>> X = np.random.default_rng(0).normal(size=(60, 2))
>>> detector = DistilledDetector(teacher="knn", student=MLP(hidden=(16,), steps=300)).fit(X)
>>> detector.predict([[0.1, 0.2], [40.0, -30.0]]).tolist()
[1, -1]
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from stillwatch.calibration.conformal import threshold
from stillwatch.distillation.distill import distill
from stillwatch.distillation.split import FEWEST_ROWS
from stillwatch.errors import InputError


class DistilledDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Outlier detector that distills a heavy one and scores in microseconds.

    Parameters
    ----------
    teacher, student
        as in `stillwatch.distill`.
    contamination
        "auto": the share `alert_rate` of normal rows is called outliers. A share in (0, 0.5]: so large a part of the training
        rows is.
    alert_rate
        with contamination="auto", share of normal rows that may be called outliers.
    assume_normal
        True: every training row is normal (novelty detection).
    random_state
        an integer decides everything random; a generator or None draws one.

    Attributes
    ----------
    scorer_
        the model in use; `stillwatch.Scorer`.
    distillation_
        report, teacher and `save`; a copy that was pickled lacks it, since it holds the teacher.
    offset_
        decision_function = score_samples - offset_.
    n_features_in_, feature_names_in_
        as everywhere in scikit-learn.

    Notes
    -----
    Arrays hold numbers, NaN = missing. Dataframes (anything with `__arrow_c_stream__`) may hold categories, booleans, timestamps
    and gaps as they are: no encoder and no imputer is needed before this estimator.
    """

    def __init__(
        self,
        *,
        teacher: Any = "auto",
        student: Any = "auto",
        contamination: float | str = "auto",
        alert_rate: float = 0.01,
        assume_normal: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.contamination = contamination
        self.alert_rate = alert_rate
        self.assume_normal = assume_normal
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Distill; y is ignored.

        Parameters
        ----------
        X
            (n, d) array of numbers, or a dataframe; at least 5 rows.

        Raises
        ------
        ValueError
            the rows or a parameter cannot be used as they are.
        """
        rows = self._rows(X, reset=True)
        share = self.contamination
        if share != "auto" and not (isinstance(share, int | float) and 0 < share <= 0.5):
            raise InputError(f"contamination={share!r}: expected 'auto' or a share in (0, 0.5].")
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        self.distillation_ = distill(
            rows,
            teacher=self.teacher,
            student=self.student,
            assume_normal=self.assume_normal,
            alert_rate=self.alert_rate,
            seed=int(seed),
        )
        self.scorer_ = self.distillation_.scorer
        if share == "auto":
            manifest = self.scorer_.manifest
            lowest_alarm = np.float32(threshold(manifest.calibration, manifest.alert_rate))
            # scikit-learn calls a row at the offset normal; ours alarms at the threshold.
            self.offset_ = -float(np.nextafter(lowest_alarm, np.float32(-np.inf)))
        else:
            self.offset_ = float(np.percentile(-self._score(rows), 100 * float(share)))
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """(n,) scores; lower = more abnormal, the negative of `stillwatch.Scorer.score`."""
        check_is_fitted(self)
        return -self._score(self._rows(X, reset=False))

    def decision_function(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """(n,) scores shifted so that negative ones are outliers."""
        shifted: NDArray[np.float64] = self.score_samples(X) - self.offset_
        return shifted

    def predict(self, X: Any) -> NDArray[np.int64]:  # noqa: N803
        """(n,) -1 for outliers, +1 for all others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _rows(self, X: Any, *, reset: bool) -> Any:  # noqa: N803
        """X as the packer takes it, checked as scikit-learn's users expect."""
        if hasattr(X, "__arrow_c_stream__"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        x = validate_data(
            self,
            X,
            reset=reset,
            ensure_all_finite="allow-nan",
            ensure_min_samples=FEWEST_ROWS if reset else 1,
        )
        names = getattr(self, "feature_names_in_", None)
        return x if names is None else [dict(zip(names, row, strict=True)) for row in x.tolist()]

    def _score(self, rows: Any) -> NDArray[np.float64]:
        return self.scorer_.score(rows).astype(np.float64)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "distillation_"}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
