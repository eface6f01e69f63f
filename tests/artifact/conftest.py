from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillwatch.artifact.write import write_artifact

from . import graphs

Save = Callable[..., str]


@pytest.fixture
def save() -> Save:
    """Write the simple model, with any part replaced; returns the digest."""

    def write(path: Path, **changed: Any) -> str:
        parts: dict[str, Any] = {
            "model": graphs.simple(),
            "manifest": graphs.manifest(),
            "report_html": "<!doctype html><title>report</title>",
            "report_json": '{"seconds": 1.5}',
            "card": "# A model\n",
        }
        return write_artifact(path, **(parts | changed))

    return write


@pytest.fixture
def folder(tmp_path: Path, save: Save) -> Path:
    """A good model folder."""
    path = tmp_path / "model"
    save(path)
    return path
