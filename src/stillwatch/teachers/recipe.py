"""What refits a teacher, as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def write_recipe(
    name: str, parameters: Mapping[str, Any], *, seed: int | None, rows: int, packages: tuple[str, ...]
) -> dict[str, Any]:
    """Put name, parameters, seed, number of training rows and package versions in one JSON-able dict."""
    return {
        "name": name,
        "parameters": {key: _plain(value) for key, value in parameters.items()},
        "seed": seed,
        "training_rows": rows,
        "versions": {package: _version(package) for package in packages},
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        # NaN and infinity (defaults in some libraries) are no JSON.
        return value if not isinstance(value, float) or math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return _plain(value.item())
    return type(value).__qualname__


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
