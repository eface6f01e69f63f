"""A whole model with a few bytes written over, and digests that fit: it is refused, or everything that it is used for answers.

The fast tier draws a few dozen examples; `-m slow` draws many more of the same.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stillwatch as sw
from stillwatch.artifact.manifest import MANIFEST, MODEL
from tests.artifact.test_load import reseal
from tests.golden.make import ROWS, folder
from tests.table.test_fuzz import Edit, edited, edits

GOLDEN = folder(1)
ROWS_THERE = [line["row"] for line in json.loads((GOLDEN / ROWS).read_text())][:20]
WHOLE = {name: (GOLDEN / "model" / name).read_bytes() for name in (MANIFEST, MODEL)}
NUMBERS = list(re.finditer(rb"(?<=[ \[:])-?[0-9][0-9.e+-]*(?=[,\n])", WHOLE[MANIFEST]))
ODD = [b"0", b"-1", b"1", b"2.5", b"null", b"9" * 20, b"-" + b"9" * 20, b"9" * 400, b"1e308", b"-1e308", b"1e-320",
       b"4294967296", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808"]  # fmt: skip
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "model"
    shutil.copytree(GOLDEN / "model", path)
    return path


def use(model: Path, name: str, data: bytes) -> None:
    shutil.copytree(GOLDEN / "model", model, dirs_exist_ok=True)
    with contextlib.suppress(sw.StillwatchError):
        reseal(model, name, data)
        scorer = sw.load(model)
        scorer.judge(ROWS_THERE)
        scorer.judge(ROWS_THERE, fdr=0.2)
        scorer.score_one(ROWS_THERE[0])
        scorer.explain(ROWS_THERE[:1])
        scorer.drift(ROWS_THERE * 10)
        sw.verify(model)


def with_number(place: int, put: bytes) -> bytes:
    found = NUMBERS[place % len(NUMBERS)]
    return WHOLE[MANIFEST][: found.start()] + put + WHOLE[MANIFEST][found.end() :]


@QUICK
@given(name=st.sampled_from([MANIFEST, MODEL]), changes=edits)
def test_a_few_bytes(model: Path, name: str, changes: list[Edit]) -> None:
    use(model, name, edited(WHOLE[name], changes))


@QUICK
@given(place=st.integers(0, len(NUMBERS) - 1), put=st.sampled_from(ODD))
def test_a_number(model: Path, place: int, put: bytes) -> None:
    use(model, MANIFEST, with_number(place, put))


@pytest.mark.slow
@LONG
@given(name=st.sampled_from([MANIFEST, MODEL]), changes=edits)
def test_a_few_bytes_of_many(model: Path, name: str, changes: list[Edit]) -> None:
    use(model, name, edited(WHOLE[name], changes))


@pytest.mark.slow
@LONG
@given(place=st.integers(0, len(NUMBERS) - 1), put=st.sampled_from(ODD))
def test_many_numbers(model: Path, place: int, put: bytes) -> None:
    use(model, MANIFEST, with_number(place, put))


@pytest.mark.parametrize(
    ("field", "put", "message"),
    [
        ("times", b"9" * 20, "references do not fit"),  # found so: no int64
        ("counts", b"9" * 400, "sketches do not fit"),  # found so: no float64
        ("rows", b"9" * 400, "more rows than can be counted"),  # found so: no float64
        ("scores", b"-" + b"9" * 40, "beyond what a model can give"),  # found so: no float32
    ],
)
def test_what_was_found(model: Path, field: str, put: bytes, message: str) -> None:
    data = re.sub(rb'("%s": [\[\s]*)-?\d+' % field.encode(), rb"\g<1>" + put, WHOLE[MANIFEST])
    assert data != WHOLE[MANIFEST]
    shutil.copytree(GOLDEN / "model", model, dirs_exist_ok=True)
    reseal(model, MANIFEST, data)
    with pytest.raises(sw.ArtifactError, match=message):
        sw.load(model)
