import re
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper

from stillwatch import evaluation as ev

from .hostile import hostile_facts, hostile_report
from .sample import sample_report

FACTS = ev.CardFacts(
    num=("pressure_in", "in_service"), num64=("serial",), txt=("pump",), booleans=("in_service",), opset=17
)


def test_every_position_is_named():
    card = ev.card(sample_report(rows=3_000), FACTS)
    assert "### `num`: float32, shape [n, 2]" in card
    assert "| 0 | pressure\\_in |\n| 1 | in\\_service (boolean) |" in card
    assert "### `txt`: string, shape [n, 1]" in card
    assert card.count("license:") == 1
    for rate in ("5 %", "1 %", "0.1 %"):
        assert f"| {rate} | " in card


def test_nothing_clocked_stands_in_the_card():
    report = sample_report(rows=3_000)
    card = ev.card(report, FACTS)
    assert "µs" not in card
    assert "faster" not in card
    assert "rows per second" not in card
    assert report.created not in card


def test_snippet_runs_without_stillwatch(tmp_path):
    report = sample_report(rows=3_000)
    snippet = re.search(r"```python\n(import numpy.*?)```", ev.card(report, FACTS), re.DOTALL).group(1)
    inputs = [
        helper.make_tensor_value_info("num", TensorProto.FLOAT, ["n", 2]),
        helper.make_tensor_value_info("num64", TensorProto.DOUBLE, ["n", 1]),
        helper.make_tensor_value_info("txt", TensorProto.STRING, ["n", 1]),
    ]
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], np.array([1]))
    nodes = [
        helper.make_node("Cast", ["num64"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["num", "axis"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "wide"], ["score"]),
    ]
    graph = helper.make_graph(nodes, "g", inputs, [score], [axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    done = subprocess.run(
        [sys.executable, "-I", "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[0.] [False]\n"


def test_payloads_are_inert():
    card = ev.card(hostile_report(), hostile_facts())
    assert "<" not in card
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u200b\ufeff\ud800-\udfff]", card)
    assert "](http" not in card
    assert "x" * 401 not in card
    assert card.count("\nlicense:") == 1
    assert card.count("```") == 4
    # Every line of a table has the cells of its head, whatever the names hold.
    for table in re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE):
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1


def test_many_columns_are_cut():
    card = ev.card(ev.Report(), ev.CardFacts(num=tuple(f"c{i}" for i in range(3_000))))
    assert "And 2,800 more" in card
    assert "shape [n, 3000]" in card
    assert "np.zeros((1, 3000), np.float32)" in card
