"""A dry run tells what the real one then does."""

from __future__ import annotations

from typing import Any

import pytest

import stillwatch as sw
from stillwatch.calibration.conformal import finest_rate
from stillwatch.distillation.plan import plan
from stillwatch.table.read import open_source
from tests.tables import mixed_table


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (2_400, {}),
        (700, {"calibrate_by": "city"}),
        (2_400, {"train_on": "normal", "calibrate_by": "shop"}),
        (300, {"time": "stamp", "seed": 3}),
    ],
)
def test_it_tells_what_distill_does(rows: int, options: dict[str, Any]) -> None:
    table = mixed_table(rows)
    schema = sw.inspect(table, label="fraud")
    told = plan(open_source(table), schema, **options)
    d = sw.distill(table, schema=schema, teacher="knn", student=sw.MLP((4,), 10), **options)
    assert told.rows == told.read == rows
    assert told.fit == len(d.split.fit)
    assert told.calibration == len(d.split.calibration)
    assert told.evaluating == len(d.split.others)
    assert told.approximate == d.manifest.calibration.approximate
    assert told.finest_rate == pytest.approx(finest_rate(d.manifest.calibration))
    assert told.unused == 0
    groups = d.manifest.groups
    assert set(told.groups or ()) == set(groups.tables if groups else ())


def test_it_refuses_what_distill_refuses() -> None:
    table = mixed_table(50)
    with pytest.raises(sw.InputError, match="needs a label"):
        plan(open_source(table), sw.inspect(table), train_on="normal")
    with pytest.raises(sw.SchemaError, match="no column"):
        plan(open_source(table), sw.inspect(table), time="when")
