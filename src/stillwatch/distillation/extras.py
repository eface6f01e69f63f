"""The packages that distilling needs and scoring does not."""

from __future__ import annotations

from importlib.util import find_spec

from stillwatch.errors import MissingExtraError

# torch and lightgbm train students, scikit-learn and scipy hold the teachers, jinja2 writes the report at the very end.
NEEDED = {
    "torch": "torch",
    "lightgbm": "lightgbm",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "jinja2": "jinja2",
}


def check_extras() -> None:
    """Say before any work which package is missing, without importing one.

    Raises
    ------
    MissingExtraError
        one is not installed; the message ends with the pip line.
    """
    for module, package in NEEDED.items():
        if find_spec(module) is None:
            raise MissingExtraError(package, "train")
