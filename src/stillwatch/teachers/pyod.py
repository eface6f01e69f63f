"""Any detector of PyOD: by the name of its class (``pyod:LOF``), or an unfitted object."""

from __future__ import annotations

import copy
import difflib
import importlib
import inspect
import io
import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np

from stillwatch.errors import MissingExtraError, TeacherError
from stillwatch.teachers.protocol import Matrix, Scores
from stillwatch.teachers.recipe import write_recipe

PREFIX = "pyod:"
_DETECTOR = re.compile(r"^class (\w+)\(Base(?:DeepLearning)?Detector\)", re.MULTILINE)
_NOT_FOR_TABLES = ("pyg_", "ts_", "base")  # graphs, time series, base classes


class PyOD:
    """A PyOD detector, built anew at each fit and given the feature matrix as float64.

    Parameters
    ----------
    name
        Name of the teacher, as in ``pyod:LOF``.
    build
        Makes the unfitted detector from the seed and the shape of the training rows.
    """

    def __init__(self, name: str, build: Callable[[int, tuple[int, int]], Any]) -> None:
        self.name = name
        self.pointwise = True
        self._build = build

    def fit(self, x: Matrix, *, seed: int) -> Self:
        """Build and fit; then measure how the detector scores."""
        self._seed, self._rows = seed, len(x)
        with _own_randomness(seed), redirect_stdout(io.StringIO()):
            self._detector = self._build(seed, (len(x), x.shape[1]))
            self._detector.fit(x.astype(np.float64))
        self._leaves_out = _leaves_itself_out(self._detector, x)
        return self

    def score(self, x: Matrix) -> Scores:
        """PyOD's decision function."""
        return np.asarray(self._detector.decision_function(x.astype(np.float64)))

    def training_scores(self) -> Scores | None:
        """``decision_scores_`` where they leave the row itself out, as neighbour detectors do; else None."""
        return np.asarray(self._detector.decision_scores_, dtype=np.float64) if self._leaves_out else None

    def recipe(self) -> dict[str, Any]:
        """Name, all parameters, seed, rows, versions."""
        return write_recipe(
            self.name,
            self._detector.get_params(),
            seed=self._seed,
            rows=self._rows,
            packages=("pyod", "scikit-learn", "numpy"),
        )


def pyod_teacher(spec: Any) -> PyOD:
    """Teacher from ``pyod:<class>``, with the defaults of that class, or from an unfitted PyOD object."""
    if not isinstance(spec, str):
        return PyOD(PREFIX + type(spec).__name__, lambda seed, shape: copy.deepcopy(spec))
    detector = find_detector(spec.removeprefix(PREFIX))
    return PyOD(PREFIX + detector.__name__, lambda seed, shape: detector(**_options(detector, seed, *shape)))


def find_detector(name: str) -> Any:
    """Find a detector class by name, and import its module alone.

    Raises
    ------
    MissingExtraError
        PyOD is not installed.
    TeacherError
        No such class (the nearest is named), or its module needs a package that is not installed.
    """
    modules = detectors()
    if name not in modules:
        by_lower = {known.lower(): known for known in modules}
        near = difflib.get_close_matches(name.lower(), by_lower, n=1)
        hint = f" Did you mean '{PREFIX}{by_lower[near[0]]}'?" if near else ""
        raise TeacherError(f"PyOD has no detector '{name}'.{hint} It has: {', '.join(sorted(modules))}.")
    try:
        return getattr(importlib.import_module(f"pyod.models.{modules[name]}"), name)
    except ImportError as exc:
        raise TeacherError(f"teacher '{PREFIX}{name}' needs a package that is not installed: {exc}") from exc


def detectors() -> dict[str, str]:
    """Names of all detectors for tables and the modules that they stand in, read from the sources: nothing is imported.

    Raises
    ------
    MissingExtraError
        PyOD is not installed.
    """
    package = find_spec("pyod")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("pyod", "pyod")
    return {
        found: path.stem
        for path in sorted((Path(package.submodule_search_locations[0]) / "models").glob("*.py"))
        for found in _DETECTOR.findall(path.read_text(encoding="utf-8"))
        if not path.stem.startswith(_NOT_FOR_TABLES)
    }


def is_pyod(detector: Any) -> bool:
    """Whether a class of PyOD stands among the ancestors; asked by name, so that PyOD need not be there."""
    return any(ancestor.__module__.startswith("pyod.") for ancestor in type(detector).__mro__)


def _options(detector: Any, seed: int, n: int, width: int) -> dict[str, Any]:
    known = inspect.signature(detector.__init__).parameters
    options: dict[str, Any] = {}
    if "random_state" in known:
        options["random_state"] = seed
    if "n_features" in known:
        options["n_features"] = width
    if "verbose" in known:
        options["verbose"] = 0
    neighbours = known.get("n_neighbors")
    if neighbours is not None and isinstance(neighbours.default, int) and neighbours.default >= n:
        options["n_neighbors"] = max(1, n - 1)
    return options


def _leaves_itself_out(detector: Any, x: Matrix) -> bool:
    # Neighbour detectors keep leave-one-out scores of their training rows; the others just asked themselves. One that
    # does not say the same twice shows nothing by that.
    asked, fewer = (np.asarray(detector.decision_function(x[:size].astype(np.float64))) for size in (64, 32))
    steady = np.allclose(asked[:32], fewer, rtol=1e-4, atol=1e-8)
    return steady and not np.allclose(asked, detector.decision_scores_[:64], rtol=1e-4, atol=1e-8)


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Seed the global generators for PyOD, and hand them back as they were found.

    Several detectors draw from them for want of a ``random_state``; building a deep one reseeds them, and
    sets PYTHONHASHSEED.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    hash_seed = os.environ.get("PYTHONHASHSEED")
    torch = sys.modules.get("torch")
    torch_state = torch.get_rng_state() if torch else None
    np.random.seed(seed % 2**32)
    random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        if torch:
            torch.set_rng_state(torch_state)
        os.environ.pop("PYTHONHASHSEED", None)
        if hash_seed is not None:
            os.environ["PYTHONHASHSEED"] = hash_seed
