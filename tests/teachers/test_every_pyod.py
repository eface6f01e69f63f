"""Every detector of PyOD by name; what does not work stands in the docs with the reason."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from stillwatch.errors import StillwatchError
from stillwatch.teachers import ask, fit_teacher, resolve_teacher
from stillwatch.teachers.pyod import detectors

DOCS = (Path(__file__).parents[2] / "docs" / "teachers.md").read_text()
LISTED: dict[str, str] = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", DOCS, re.MULTILINE))


def test_what_the_docs_list_exists() -> None:
    assert len(LISTED) >= 10
    assert set(LISTED) <= set(detectors())


def missing_package(reason: str) -> bool:
    needed = re.findall(r"the package (\w+)", reason)
    return bool(needed) and find_spec(needed[0]) is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", detectors())
def test_every_detector_scores_or_stands_in_the_docs(name: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3))).astype(np.float32)
    reason = LISTED.get(name, "")
    if reason and (missing_package(reason) or "the package" not in reason or "labels" in reason):
        with pytest.raises(StillwatchError, match=rf"pyod:{name}\b"):
            fit_teacher(resolve_teacher(f"pyod:{name}", regime="all"), x, seed=0)
        return
    fitted = fit_teacher(resolve_teacher(f"pyod:{name}", regime="all"), x, seed=0)
    scores = ask(fitted, x[:20])
    assert np.isfinite(scores).all()
    if fitted.pointwise:
        alone = np.concatenate([ask(fitted, x[i : i + 1]) for i in range(5)])
        np.testing.assert_allclose(alone, scores[:5], rtol=1e-3, atol=1e-5)
