"""Row 18 of the fault list: graphs that must never reach onnxruntime."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from stillwatch.artifact.audit import OPERATORS, audit
from stillwatch.errors import AuditError

from . import graphs
from .graphs import model, node, tensor, value


def refused(changed: ModelProto | bytes, message: str) -> None:
    data = changed if isinstance(changed, bytes) else changed.SerializeToString()
    with pytest.raises(AuditError, match=message) as caught:
        audit(data)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_good_graphs_pass_with_a_summary() -> None:
    simple = audit(graphs.simple())
    assert simple.inputs == {"num": 3}
    assert simple.parameters == 4
    assert simple.opset == 17
    assert simple.operators == {"Gemm": 1}
    assert audit(graphs.mixed()).inputs == {"num": 2, "num64": 1, "txt": 2}
    assert audit(graphs.tree()).operators == {"ai.onnx.ml.TreeEnsembleRegressor": 1}


def test_the_list_holds_nothing_that_loops_allocates_or_draws() -> None:
    assert not OPERATORS & {
        "If",
        "Loop",
        "Scan",
        "ConstantOfShape",
        "Expand",
        "Tile",
        "Range",
        "RandomNormal",
    }


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "link.bin", "hard.bin"])
def test_external_data_is_refused_wherever_it_points(location: str) -> None:
    outside = tensor("w", graphs.WEIGHTS)
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value=location)
    refused(model(tensors=[outside, tensor("b", [0.25])]), "external data")


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan"])
def test_subgraphs_are_refused(operator: str) -> None:
    body = node(operator, ["num"], ["score"], body=graphs.subgraph())
    refused(model([body]), "sub-graph")


def test_functions_are_refused() -> None:
    function = helper.make_function(
        "own", "F", ["x"], ["y"], [node("Relu", ["x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    refused(model(functions=[function]), "functions")


@pytest.mark.parametrize("domain", ["com.microsoft", "own", "ai.onnx.preview.training", "ai.onnx.ml\x1b[31m"])
def test_custom_domains_are_refused(domain: str) -> None:
    refused(model([node("Gemm", ["num", "w", "b"], ["score"], domain=domain)]), "audit domain")
    refused(model(opsets=[("", 17), (domain, 1)]), "audit domain")


@pytest.mark.parametrize(
    "operator", ["ConstantOfShape", "Loop", "Expand", "Tile", "Acosh", "MatMulInteger", "x" * 5000]
)
def test_operators_off_the_list_are_refused(operator: str) -> None:
    refused(model([node(operator, ["num"], ["score"])]), "audit operator")


def test_a_standard_operator_is_not_mistaken_for_one_of_the_ml_domain() -> None:
    refused(model([node("LabelEncoder", ["num"], ["score"])]), "audit operator")
    refused(model([node("Gemm", ["num"], ["score"], domain="ai.onnx.ml")]), "audit operator")


@pytest.mark.parametrize(
    "opsets", [[("", 16)], [("", 24)], [("ai.onnx.ml", 3)], [("", 17), ("ai.onnx", 17)], []]
)
def test_opsets_out_of_range_missing_or_declared_twice_are_refused(opsets: list[tuple[str, int]]) -> None:
    changed = model()
    changed.ClearField("opset_import")
    changed.opset_import.extend(helper.make_opsetid(*opset) for opset in opsets)
    refused(changed, "audit opset")


def weights(**changes: Any) -> ModelProto:
    w = tensor("w", graphs.WEIGHTS)
    for name, content in changes.items():
        w.ClearField(name)
        if name in ("dims", "float_data", "string_data"):
            getattr(w, name).extend(content)
        else:
            setattr(w, name, content)
    return model(tensors=[w, tensor("b", [0.25])])


@pytest.mark.parametrize(
    "changes",
    [
        {"dims": [1 << 20, 1 << 20]},  # 4 TiB
        {"dims": [1 << 62, 1 << 62]},
        {"dims": [-3, -1]},
        {"dims": [-1]},
        {"dims": [3, 2]},
        {"dims": [1, 1, 1, 1, 3]},
        {"dims": []},
        {"raw_data": b""},
        {"raw_data": b"\0" * 11},
        {"float_data": [1.0, 2.0, 3.0]},
        {"data_type": TensorProto.DOUBLE},
        {"data_type": TensorProto.FLOAT16},
        {"data_type": 99},
        {"data_type": 0},
        {"data_type": TensorProto.STRING, "raw_data": b"", "string_data": [b"a", b"b", b"c"]},
    ],
)
def test_a_tensor_is_exactly_what_it_declares(changes: dict[str, Any]) -> None:
    refused(weights(**changes), "audit tensor: tensor 'w'")


def test_typed_data_is_as_good_as_raw() -> None:
    assert audit(weights(raw_data=b"", float_data=[1.0, 2.0, -0.5]).SerializeToString()).parameters == 4


def test_string_tensors_are_keys_of_a_label_encoder_and_nothing_else() -> None:
    words = helper.make_tensor("k", TensorProto.STRING, [2], [b"a", b"b"])
    numbers = tensor("v", [0, 1], np.int64)
    encoder = node(
        "LabelEncoder", ["txt"], ["code"], domain="ai.onnx.ml", keys_tensor=words, values_tensor=numbers,
        default_tensor=tensor("d", [2], np.int64),
    )  # fmt: skip
    txt = [value("txt", TensorProto.STRING, ["n", 1])]
    audit(model([encoder, node("Cast", ["code"], ["score"], to=1)], [], txt).SerializeToString())
    next(a for a in encoder.attribute if a.name == "keys_tensor").name = "values_tensor2"
    refused(model([encoder, node("Cast", ["code"], ["score"], to=1)], [], txt), "audit tensor: tensor 'k'")


def test_attributes_are_of_plain_types_and_stand_once() -> None:
    refused(graphs.with_attribute(helper.make_attribute("g", graphs.subgraph())), "sub-graph")
    refused(graphs.with_attribute(helper.make_attribute("t", [tensor("x", [1.0])])), "tensor lists")
    twice = model([node("Gemm", ["num", "w", "b"], ["score"], alpha=1.0)])
    twice.graph.node[0].attribute.append(helper.make_attribute("alpha", 2.0))
    refused(twice, "attribute twice")
    odd = model([node("Gemm", ["num", "w", "b"], ["score"], alpha=1.0)])
    odd.graph.node[0].attribute[0].type = 5  # says GRAPH and holds none
    refused(odd, "has type 5")


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [value("image", TensorProto.FLOAT, ["n", 3])],
        [value("num", TensorProto.FLOAT, ["n", 3])] * 2,
        [value("num", TensorProto.DOUBLE, ["n", 3])],
        [value("num", TensorProto.FLOAT, [7, 3])],
        [value("num", TensorProto.FLOAT, ["n", "k"])],
        [value("num", TensorProto.FLOAT, ["n"])],
        [value("num", TensorProto.FLOAT, ["n", 3, 1])],
        [value("num", TensorProto.FLOAT, ["n", 1_000_000])],
        [value("num", TensorProto.FLOAT, ["n", -3])],
    ],
)
def test_inputs_are_ours(inputs: list[Any]) -> None:
    refused(model(inputs=inputs), "audit input")


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        [value("other", TensorProto.FLOAT, ["n", 1])],
        [value("score", TensorProto.FLOAT, ["n", 1]), value("w", TensorProto.FLOAT, [3, 1])],
        [value("score", TensorProto.DOUBLE, ["n", 1])],
        [value("score", TensorProto.FLOAT, ["n", 2])],
    ],
)
def test_the_output_is_one_score_a_row(outputs: list[Any]) -> None:
    refused(model(outputs=outputs), "audit output")


def test_names_are_given_once_and_before_use() -> None:
    w, b = tensor("w", graphs.WEIGHTS), tensor("b", [0.25])
    refused(model(tensors=[w, w, b]), "initialiser 'w' is empty or stands twice")
    refused(model(tensors=[w, b, tensor("num", [[1.0, 1.0, 1.0]])]), "initialiser 'num'")
    refused(model(tensors=[w]), "reads 'b'")
    gemm = node("Gemm", ["num", "w", "b"], ["score"])
    refused(model([gemm, gemm]), "node output 'score'")
    refused(model([node("Relu", ["later"], ["score"]), node("Relu", ["num"], ["later"])]), "reads 'later'")
    refused(model([node("Relu", ["score"], ["score"])]), "reads 'score'")
    refused(
        model([node("Gemm", ["num", "w", "b"], ["other"])]),
        "audit output: score must be one number a row, found 'None'",
    )


def test_refusals_are_safe_to_print() -> None:
    refused(model([node("\x1b[2J" + "y" * 90, ["num"], ["score"])]), r"\\x1b\[2Jyyy")


@pytest.mark.parametrize("source", [graphs.simple, graphs.mixed, graphs.tree])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_mutated_models_raise_nothing_but_audit_errors(source: Any, data: st.DataObject) -> None:
    changed = bytearray(source())
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(changed))))
    with contextlib.suppress(AuditError):
        audit(bytes(changed[:cut]))


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_random_bytes_raise_nothing_but_audit_errors(data: bytes) -> None:
    with pytest.raises(AuditError):
        audit(data)
