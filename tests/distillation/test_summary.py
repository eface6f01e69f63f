from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stillwatch.distillation.summary import _call
from stillwatch.table.schema import Column, Schema


@pytest.fixture
def made() -> Any:
    columns = [("amount", "feature"), ("id", "key"), ("fraud", "label"), ("note", "ignore")]
    schema = Schema(columns=tuple(Column(name=name, kind="number", role=role) for name, role in columns))  # type: ignore[arg-type]
    call = {"time": None, "train_on": "normal", "assume_normal": False, "alert_rate": 0.01, "seed": 0}
    return SimpleNamespace(
        source="pay.csv", function="stillwatch.distill", call=call, manifest=SimpleNamespace(schema=schema)
    )


def test_the_call_can_be_typed_again(made: Any) -> None:
    assert _call(made) == (
        "stillwatch.distill('pay.csv', label='fraud', key=['id'], ignore=['note'], train_on='normal', alert_rate=0.01, seed=0)"
    )


def test_a_call_of_another_function_names_its_own_options_alone(made: Any) -> None:
    made.function, made.call = "stillwatch.networks.network_model", {"alert_rate": 0.01, "seed": 3}
    assert _call(made) == "stillwatch.networks.network_model(alert_rate=0.01, seed=3)"
