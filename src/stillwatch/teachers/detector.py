"""Objects of scikit-learn (outlier detectors, densities, fitted classifiers), and fitted ones of PyOD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from stillwatch.errors import TeacherError
from stillwatch.teachers.probe import answers_digest
from stillwatch.teachers.protocol import Matrix, Scores
from stillwatch.teachers.pyod import is_pyod
from stillwatch.teachers.recipe import write_recipe

_P_MIN = 1e-6
_ANSWERS = ("decision_function", "score_samples", "predict_proba")


class Detector:
    """An object that scores rows.

    Unfitted, a clone of it is fitted on the feature matrix; fitted, it is asked as it is.
    """

    def __init__(self, detector: Any) -> None:
        self.name = f"object:{type(detector).__name__}"
        self.pointwise = True
        self._given = self._model = detector
        self.came_fitted = is_fitted(detector)
        self._abnormality = _abnormality(detector, self.came_fitted)

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Fit a clone of what came unfitted; see that what came fitted takes our matrix."""
        self._seed, self._rows = seed, len(x)
        if self.came_fitted:
            self._refuse_other_width(x)
        else:
            self._model = _clone(self._given, seed).fit(x.copy())
        self._answers = answers_digest(self, x)
        return self

    def score(self, x: Matrix) -> Scores:
        """Ask the object, and turn its answer so that higher = more abnormal."""
        return np.asarray(self._abnormality(self._model, x), dtype=np.float64)

    def training_scores(self) -> None:
        """Return None: a fitted object does not say which rows it saw."""

    def recipe(self) -> dict[str, Any]:
        """Class, parameters, whether it came fitted, seed, rows, versions."""
        kind = type(self._given)
        module = kind.__module__.partition(".")[0]
        parameters = {
            "class": f"{kind.__module__}.{kind.__qualname__}",
            "came_fitted": self.came_fitted,
            "answers": self._answers,
        }
        return write_recipe(
            self.name,
            parameters | getattr(self._model, "get_params", dict)(),
            seed=self._seed,
            rows=self._rows,
            packages=("scikit-learn" if module == "sklearn" else module, "numpy"),
        )

    def _refuse_other_width(self, x: Matrix) -> None:
        fault = None
        expected = getattr(self._model, "n_features_in_", x.shape[1])
        if expected != x.shape[1]:
            fault = f"was fitted on {expected} columns"
        else:
            try:
                self.score(x[:1].copy())
            except Exception as exc:
                fault = f"raised {type(exc).__name__} when asked about one row ({exc})"
        if fault:
            raise TeacherError(
                f"teacher '{self.name}' {fault}, but a teacher sees the feature matrix, which has "
                f"{x.shape[1]} columns here (scaled numbers, a column for each category). Hand the detector "
                "over unfitted: then it is fitted on that matrix."
            )


def is_detector(spec: Any) -> bool:
    """Whether an object scores rows by one of the methods known here."""
    return any(hasattr(spec, answer) for answer in _ANSWERS) or (
        is_pyod(spec) or hasattr(spec, "fit_predict")
    )


def is_fitted(detector: Any) -> bool:
    """Whether `fit` was called on it."""
    if is_pyod(detector):
        return hasattr(detector, "decision_scores_")
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(detector)
    except NotFittedError:
        return False
    except TypeError:  # it has no `fit`, so nothing is left to be done
        return True
    return True


def _clone(detector: Any, seed: int) -> Any:
    from sklearn.base import clone

    fresh = clone(detector)
    if fresh.get_params().get("random_state", seed) is None:
        fresh.set_params(random_state=seed)
    return fresh


def _abnormality(detector: Any, came_fitted: bool) -> Callable[[Any, Matrix], Any]:
    """Choose the method that scores, and its direction."""
    from sklearn.base import is_classifier

    if is_pyod(detector):
        return lambda model, x: model.decision_function(x.astype(np.float64))
    if hasattr(detector, "classes_") or (hasattr(detector, "predict_proba") and is_classifier(detector)):
        return _anomaly_margin(detector, came_fitted)
    if hasattr(detector, "score_samples"):
        return lambda model, x: -model.score_samples(x)
    raise TeacherError(
        f"a {type(detector).__name__} does not say in which direction it scores. Wrap it in a function from "
        "an (n, d) matrix to (n,) scores, higher = more abnormal. (A LocalOutlierFactor needs novelty=True.)"
    )


def _anomaly_margin(classifier: Any, came_fitted: bool) -> Callable[[Any, Matrix], Any]:
    if not came_fitted:
        raise TeacherError(f"a classifier ({type(classifier).__name__}) needs labels: hand it over fitted.")
    classes = list(classifier.classes_)
    ones = [at for at, label in enumerate(classes) if label == 1]
    at = ones or [at for at, label in enumerate(classes) if label]
    if len(classes) != 2 or len(at) != 1:
        raise TeacherError(
            f"which class of {type(classifier).__name__} is the anomaly? It knows {classes[:5]}; expected "
            "0 and 1 (1 = anomaly). Wrap it in a function that answers with the score of the anomaly."
        )
    if hasattr(classifier, "decision_function"):  # a margin ranks on where a probability saturates
        sign = 1.0 if at[0] == 1 else -1.0
        return lambda model, x: sign * model.decision_function(x)
    return lambda model, x: _logit(model.predict_proba(x)[:, at[0]])


def _logit(p: Any) -> Any:
    p = np.clip(np.asarray(p, dtype=np.float64), _P_MIN, 1.0 - _P_MIN)
    return np.log(p) - np.log1p(-p)
