from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.table.departures import departures

TABLE: dict[str, list[Any]] = {
    "amount": [1.5, 2.5] * 50,
    "flag": [0, 1] * 50,
    "city": ["Bern", "Genf"] * 50,
    "when": [dt.date(2024, 1, 1), dt.date(2024, 1, 2)] * 50,
    "card": [f"c{i}" for i in range(100)],
    "fraud": [0] * 99 + [1],
}
SCHEMA = sw.inspect(pa.table(TABLE), label="fraud", key="card")
KNOWN = {"city": ("Bern", "Genf")}


def found(**changes: Any) -> list[tuple[str, str, str]]:
    data = {name: values for name, values in (TABLE | changes).items() if values is not None}
    return [(d.column, d.what, d.severity) for d in departures(SCHEMA, pa.table(data), categories=KNOWN)]


def test_the_same_table_does_not_depart() -> None:
    assert found() == []
    assert found(amount=["1.5", "7"] * 50, flag=["yes", "no"] * 50, when=["2024-01-01"] * 100) == []
    assert found(flag=[1] * 100) == []


@pytest.mark.parametrize(
    ("changes", "departure"),
    [
        ({"amount": None}, ("amount", "missing column", "error")),
        ({"card": None}, ("card", "missing column", "error")),
        ({"fraud": None}, ("fraud", "missing column", "info")),
        ({"more": [1] * 100}, ("more", "new column", "info")),
        ({"amount": ["1.5", "x"] * 50}, ("amount", "changed kind", "error")),
        ({"amount": [[1]] * 100}, ("amount", "changed kind", "error")),
        ({"when": ["yesterday"] * 100}, ("when", "changed kind", "error")),
        ({"flag": ["maybe"] * 100}, ("flag", "changed kind", "error")),
        ({"flag": [0, 2] * 50}, ("flag", "changed kind", "warning")),
        ({"amount": [None] * 100}, ("amount", "no values", "warning")),
        ({"city": ["Bern"] * 98 + ["Chur"] * 2}, ("city", "new categories", "warning")),
        ({"city": [1, 2] * 50}, ("city", "new categories", "warning")),
    ],
)
def test_each_departure(changes: dict[str, Any], departure: tuple[str, str, str]) -> None:
    assert found(**changes) == [departure]


def test_a_few_new_categories_are_no_harm_and_none_are_looked_for_without_a_list() -> None:
    table = pa.table({**TABLE, "city": ["Bern"] * 99 + ["Chur"]}).take(list(range(100)) * 2)
    mostly = pa.concat_tables([table, pa.table(TABLE), pa.table(TABLE)])
    (departure,) = departures(SCHEMA, mostly, categories=KNOWN)
    assert departure.severity == "info"
    assert "1 values" in departure.detail
    assert "2 of 400 rows (0.50%), such as 'Chur'" in departure.detail
    assert departures(SCHEMA, mostly) == ()
    assert departures(SCHEMA, pa.table({**TABLE, "city": [7] * 100})) == ()  # it may have been declared so


def test_details_name_value_row_and_nearest(tmp_path: Path) -> None:
    data = {**TABLE, "amount": ["1.5"] * 99 + ["1,5"], "City": TABLE["city"]}
    del data["city"]
    first, second, third = departures(SCHEMA, pa.table(data))
    assert (first.column, first.detail) == (
        "city",
        "this feature is not among the columns; did you mean 'City'?",
    )
    assert second.detail == "1 of 100 values are not numbers (first: '1,5' at row 100)."
    assert third.severity == "info"


def test_a_model_knows_its_categories(distilled: sw.Distillation, table: pa.Table) -> None:
    manifest = distilled.scorer.manifest
    (departure,) = departures(manifest.schema, table, categories=manifest.categories)
    assert departure.column == "shop"  # which has many values that stand in fewer than 5 rows
    assert (
        departures(
            manifest.schema,
            table.filter(pa.compute.is_in(table["shop"], pa.array(manifest.categories["shop"]))),
            categories=manifest.categories,
        )
        == ()
    )
