"""The Spark recipe of docs/scale.md, given what Spark's `mapInArrow` gives it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import stillwatch as sw
from tests.scale.conftest import keyed_table

DOCS = Path(__file__).parents[2] / "docs" / "scale.md"


def test_the_function_takes_and_gives_batches(
    keyed_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "def score(" in block
    ]
    (tmp_path / "recipe.py").write_text(code)
    monkeypatch.chdir(keyed_model.parent)
    recipe = runpy.run_path(str(tmp_path / "recipe.py"))["score"]
    recipe.__globals__["MODEL"] = str(keyed_model)
    table = keyed_table(500)
    found = list(recipe(iter(table.to_batches(max_chunksize=200))))
    assert [batch.num_rows for batch in found] == [200, 200, 100]
    types = {field.name: str(field.type) for field in found[0].schema}
    (declared,) = re.findall(r'mapInArrow\(score, "([^"]+)"\)', DOCS.read_text())
    arrow = {"long": "int64", "float": "float", "double": "double", "boolean": "bool"}
    assert types == {name: arrow[kind] for name, kind in (pair.split() for pair in declared.split(", "))}
    scores = np.concatenate([batch["score"].to_numpy() for batch in found])
    np.testing.assert_array_equal(scores, sw.load(keyed_model).score(table))
