import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch import evaluation as ev
from stillwatch.evaluation.inert import markdown, plain

from .hostile import PAYLOADS, hostile_report


@given(st.text(max_size=300), st.integers(1, 50))
def test_plain_is_one_visible_line_of_the_length_asked(text, limit):
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert "\n" not in shown
    assert not [sign for sign in shown if unicodedata.category(sign).startswith(("C", "Zl", "Zp"))]
    assert plain(shown, limit) == shown


@pytest.mark.parametrize("text", ["pressure_in", "Größe (mm)", "価格", "a-b c.d"])
def test_honest_names_stay_as_they_are(text):
    assert plain(text) == text


@pytest.mark.parametrize("text", PAYLOADS)
def test_markdown_escapes_what_markdown_reads(text):
    shown = markdown(text)
    assert "<" not in shown
    assert "|" not in shown
    assert "`" not in shown
    assert not re.search(r"(?<!\\)://", shown)


def test_json_is_inert_and_lossless():
    report = hostile_report()
    data = ev.encode_report(report)
    text = data.decode()
    assert "<" not in text
    assert not [sign for sign in text if sign != "\n" and unicodedata.category(sign) in {"Cc", "Cf"}]
    assert json.loads(data)["title"] == "<script>alert(1)</script>"
    assert ev.decode_report(data).columns[5].name == PAYLOADS[5]
