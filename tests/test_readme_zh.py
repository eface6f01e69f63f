"""The Chinese README says what the English one says: the same sections, commands, code, links, tables and figures."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = {name: (ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md")}
BLOCK = re.compile(r"^```\w*\n(.*?)^```|((?:^ {4}\S[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


def sections(text: str) -> list[str]:
    """Text from heading to heading; fenced comments are no headings."""
    starts = [
        m.start()
        for m in re.finditer(r"^##? (?=\S)", BLOCK.sub(lambda m: "x" * len(m[0]), text), re.MULTILINE)
    ]
    return [text[a:b] for a, b in pairwise([*starts, len(text)])]


def commands(text: str) -> list[str]:
    """Lines of code and commands, without the comments that a translator may turn over."""
    found = [block for match in BLOCK.finditer(text) for block in match.groups() if block]
    lines = [re.sub(r"\s+# (?!\{).*$", "", line).rstrip() for block in found for line in block.splitlines()]
    return [line for line in lines if line]


def figures(text: str) -> list[str]:
    """Numbers in the running text and the tables, sorted: word order is each language's own."""
    return sorted(re.findall(r"\d[\d,.]*(?<![,.])", BLOCK.sub("", re.sub(r"\]\([^)]*\)", "]", text))))


def links(text: str) -> list[str]:
    """Where links lead, but for those between the two languages."""
    return sorted(set(re.findall(r"\]\(([^)]+)\)", text)) - set(TEXTS))


def test_both_have_the_same_sections_in_the_same_order() -> None:
    english, chinese = map(sections, TEXTS.values())
    assert [s.split()[0] for s in english] == [s.split()[0] for s in chinese]
    assert len(english) >= 9


@pytest.mark.parametrize("part", range(len(sections(TEXTS["README.md"]))))
@pytest.mark.parametrize("what", [commands, figures, links], ids=lambda what: what.__name__)
def test_the_section_agrees(part: int, what: object) -> None:
    assert callable(what)
    english, chinese = (sections(text)[part] for text in TEXTS.values())
    assert what(chinese) == what(english), chinese.splitlines()[0]


def test_tables_have_the_same_rows() -> None:
    english, chinese = (
        [line.count("|") for line in text.splitlines() if line.startswith("|")] for text in TEXTS.values()
    )
    assert chinese == english


def test_names_of_options_are_not_translated() -> None:
    named = [set(re.findall(r"`(--?[a-z][a-z-]*|[a-z_]+=?)[`\" ]", text)) for text in TEXTS.values()]
    assert named[0] == named[1]


def test_each_leads_to_the_other() -> None:
    assert "](README.zh-CN.md)" in TEXTS["README.md"]
    assert "](README.md)" in TEXTS["README.zh-CN.md"]
