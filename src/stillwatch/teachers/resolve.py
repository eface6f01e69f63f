"""From what a user names as teacher to a Teacher."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from stillwatch.errors import TeacherError, nearest
from stillwatch.teachers.auto import Auto
from stillwatch.teachers.detector import Detector, is_detector, is_fitted
from stillwatch.teachers.ecod import COPOD, ECOD
from stillwatch.teachers.ensemble import Ensemble
from stillwatch.teachers.function import Function
from stillwatch.teachers.mcd import MCD
from stillwatch.teachers.network import Autoencoder, DeepSVDD
from stillwatch.teachers.protocol import Regime, Teacher
from stillwatch.teachers.purified import Purified
from stillwatch.teachers.pyod import PREFIX, is_pyod, pyod_teacher
from stillwatch.teachers.sklearn import GMM, KNN, LOF, OCSVM, IsolationForest

NAMES: dict[str, Callable[[], Teacher]] = {
    "knn": KNN,
    "lof": LOF,
    "isolation_forest": IsolationForest,
    "gmm": GMM,
    "mcd": MCD,
    "ocsvm": OCSVM,
    "ecod": ECOD,
    "copod": COPOD,
    "autoencoder": Autoencoder,
    "deep_svdd": DeepSVDD,
}

# PyOD scores a row by these together with the rows beside it.
_FROZEN: dict[str, type[ECOD]] = {f"{PREFIX}ECOD": ECOD, f"{PREFIX}COPOD": COPOD}


def resolve_teacher(spec: Any, *, regime: Regime, purify: bool = False) -> Teacher:
    """Turn a name, a detector or a function into an unfitted Teacher.

    Parameters
    ----------
    spec
        ``"auto"``, a name of NAMES, ``"pyod:<class>"``, a Teacher, a fitted or unfitted detector of
        scikit-learn or PyOD, a fitted classifier, a function from an (n, d) matrix to (n,) scores, or a list of
        several of these.
    regime
        What ``"auto"`` may assume about the training rows.
    purify
        Each teacher learns from the core of the rows alone; ``"auto"`` sees to that itself.

    Raises
    ------
    TeacherError
        None of these; the message lists what is accepted. Or to be purified, and not fitted here.
    MissingExtraError
        A PyOD name without PyOD.
    """
    if isinstance(spec, list | tuple):
        return Ensemble([resolve_teacher(one, regime=regime, purify=purify) for one in spec])
    teacher = _one(spec, regime)
    return Purified(teacher) if purify and not isinstance(teacher, Auto) else teacher


def _one(spec: Any, regime: Regime) -> Teacher:
    if isinstance(spec, str):
        return _by_name(spec, regime)
    if inspect.isclass(spec):
        raise TeacherError(
            f"teacher is the class {spec.__name__}; hand over an object of it: {spec.__name__}()."
        )
    if isinstance(spec, Teacher):
        return spec
    if is_pyod(spec) and not is_fitted(spec):
        name = PREFIX + type(spec).__name__
        return _FROZEN[name](name) if name in _FROZEN else pyod_teacher(spec)
    if is_detector(spec):
        return Detector(spec)
    if callable(spec):
        return Function(spec)
    raise TeacherError(f"a {type(spec).__name__} is no teacher. {_accepted()}")


def _by_name(name: str, regime: Regime) -> Teacher:
    if name == "auto":
        return Auto(regime)
    if name in NAMES:
        return NAMES[name]()
    if name in _FROZEN:
        return _FROZEN[name](name)
    if name.startswith(PREFIX):
        return pyod_teacher(name)
    near = nearest(name, ["auto", *NAMES])
    hint = f" Did you mean '{near}'?" if near else ""
    raise TeacherError(f"no teacher is called '{name}'.{hint} {_accepted()}")


def _accepted() -> str:
    return (
        f"Accepted: 'auto', {', '.join(repr(name) for name in NAMES)}, 'pyod:<class>' (as in 'pyod:LOF'), "
        "a fitted or unfitted detector, a fitted classifier, a function from (n, d) rows to (n,) scores, or a "
        "list of these."
    )
