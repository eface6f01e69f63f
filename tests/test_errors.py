"""Every error has a code of its own and a section in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import stillwatch as sw
from stillwatch.cli import guard
from stillwatch.errors import StillwatchError, nearest

PAGE = (Path(__file__).parents[1] / "docs" / "errors.md").read_text()


def tree(root: type[StillwatchError]) -> list[type[StillwatchError]]:
    return [root, *(each for child in root.__subclasses__() for each in tree(child))]


def test_every_error_has_its_own_code_and_a_section_in_the_docs() -> None:
    ours = [each for each in tree(sw.StillwatchError) if each.__module__ == "stillwatch.errors"]
    codes = {each.code: each.__name__ for each in ours}
    assert len(codes) == len(ours), "a class has the code of another"
    codes |= {guard.SYSTEM: "OSError", guard.MEMORY: "MemoryError", guard.BUG: "Bug"}
    headings = re.findall(r"^## (\S+) (\S+)\n\n\S", PAGE, re.MULTILINE)
    assert dict(headings) == codes
    assert headings == sorted(headings)


def test_every_error_of_the_tree_is_public() -> None:
    for each in tree(sw.StillwatchError):
        if each.__module__ == "stillwatch.errors":
            assert getattr(sw, each.__name__) is each


def test_the_nearest_name() -> None:
    assert nearest("Prototypes", ["mlp", "prototypes"]) == "prototypes"
    assert nearest("amont", ["shop", "amount"]) == "amount"
    assert nearest("zzz", ["shop", "amount"]) is None
    assert nearest("fraud", ["shop", "FraudFound_P"]) == "FraudFound_P"
    assert nearest("fraud", ["label_of_fraud_1", "FraudFound_P"]) is None
    assert nearest("id", ["payment_id_of_the_shop"]) is None
