"""Text in a number column: a missing token, a number with space around it, or an error with column, row and value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from tests.faults.conftest import changed
from tests.faults.doors import DOORS

every_door = pytest.mark.parametrize("door", DOORS)


def with_text(rows: pa.Table, text: str, at: int) -> pa.Table:
    amounts = [str(amount) for amount in rows["amount"].to_pylist()]
    amounts[at] = text
    return changed(rows, "amount", pa.array(amounts))


@every_door
@pytest.mark.parametrize(
    "text", ["1,5", "abc", "1_000", "0x10", "12 3", "1.2.3", "=1+1", "\x1b[31m9", "--", "ten"]
)
def test_what_is_no_number_is_an_error_with_column_row_and_value(
    scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str, text: str
) -> None:
    with pytest.raises(sw.TableError) as caught:
        scorer.score(DOORS[door](with_text(rows, text, 16), tmp_path))
    message = str(caught.value)
    assert "column 'amount': 1 of 40 values are not numbers" in message
    assert f"(first: {text!r} at row 17)" in message
    assert message.isprintable()
    assert (caught.value.column, caught.value.row) == ("amount", 17)
    if text == "1,5":
        assert "decimal=','" in message


@every_door
@pytest.mark.parametrize("text", ["", "NULL", "null", "NA", "N/A", "?", "nan", "NaN", "  ", " NULL "])
def test_missing_tokens_are_missing(
    scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str, text: str
) -> None:
    verdict = scorer.judge(DOORS[door](with_text(rows, text, 16), tmp_path))
    assert verdict.counts.missing == {"amount": 1}
    gap = rows["amount"].to_pylist()
    gap[16] = None
    expected = scorer.score(changed(rows, "amount", pa.array(gap)))
    np.testing.assert_allclose(verdict.score, expected, rtol=1e-5, atol=1e-5)


@every_door
@pytest.mark.parametrize("text", [" 3 ", "\t3", "3.0", "+3", "3e0", "30e-1", "3."])
def test_a_number_is_a_number_however_it_is_written(
    scorer: sw.Scorer, rows: pa.Table, tmp_path: Path, door: str, text: str
) -> None:
    found = scorer.score(DOORS[door](with_text(rows, text, 16), tmp_path))
    expected = scorer.score(with_text(rows, "3", 16))
    np.testing.assert_array_equal(found, expected)
    assert scorer.score_one(with_text(rows, text, 0).to_pylist()[0]) == scorer.score_one(
        {**rows.to_pylist()[0], "amount": 3}
    )


def test_the_row_of_the_first_offender_counts_over_files(
    scorer: sw.Scorer, rows: pa.Table, tmp_path: Path
) -> None:
    for name, table in (("a", rows), ("b", with_text(rows, "abc", 4))):
        (tmp_path / name).mkdir()
        DOORS["csv"](table, tmp_path / name)
    with pytest.raises(sw.TableError, match="'abc' at row 45"):
        scorer.score([tmp_path / "a" / "rows.csv", tmp_path / "b" / "rows.csv"])
