"""The walk over the bytes: what it counts, what it refuses, and what that costs."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    StringStringEntryProto,
    TensorProto,
    TensorShapeProto,
    TypeProto,
    ValueInfoProto,
    helper,
)

from stillwatch.artifact.wire import LIMITS, MESSAGES, REFUSED, scan
from stillwatch.errors import AuditError

from . import graphs

PROTOS = {
    "Model": ModelProto,
    "Graph": GraphProto,
    "Node": NodeProto,
    "Attribute": AttributeProto,
    "Tensor": TensorProto,
    "ValueInfo": ValueInfoProto,
    "Type": TypeProto,
    "TensorType": TypeProto.Tensor,
    "Shape": TensorShapeProto,
    "Dim": TensorShapeProto.Dimension,
    "Opset": OperatorSetIdProto,
    "Entry": StringStringEntryProto,
}


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_counts_are_those_of_the_parsed_model() -> None:
    counts = scan(graphs.mixed())
    parsed = ModelProto.FromString(graphs.mixed()).graph
    assert counts["nodes"] == len(parsed.node)
    assert counts["tensors"] == len(parsed.initializer)
    assert counts["attributes"] == sum(len(node.attribute) for node in parsed.node)


@pytest.mark.parametrize("message", PROTOS)
def test_the_tables_agree_with_onnx(message: str) -> None:
    known = {entry.number: entry for entry in PROTOS[message].DESCRIPTOR.fields}
    for number, allowed in MESSAGES[message].items():
        assert known[number].name == allowed.name
        assert known[number].is_repeated == allowed.many
        assert (known[number].message_type is not None) == (allowed.inside in MESSAGES)
    # Whatever onnx adds in a later release must be looked at before it is passed on.
    refused = {number for owner, number in REFUSED if owner == message}
    assert {number for number in known if number not in MESSAGES[message]} <= refused


@pytest.mark.parametrize("cut", [0, 1, 7, 40, -1])
def test_a_truncated_file_is_refused(cut: int) -> None:
    with pytest.raises(AuditError, match="audit wire"):
        scan(graphs.simple()[:cut])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no graph"),
        (b"\x80" * 20, "longer than 64 bits"),
        (field(7, field(1, b"")) * 2, "Model.graph stands twice"),
        (field(99, b""), "unknown field 99"),
        (field(7, field(2, b"\xff")), "Graph.name is no UTF-8"),
        (field(7, b"\x0b"), "wire type 3"),
        (field(1, b"abc"), "ir_version has wire type 2"),
        (b"\x0d\0\0\0\0", "ir_version has wire type 5"),
        (varint(7 << 3 | 2) + varint(2**40), "cut short"),
        (field(7, field(1, field(5, b"\x15\0"))), "Attribute.f is cut short"),
        (field(25, b""), "functions"),
        (field(20, b""), "training information"),
        (field(7, field(15, b"")), "sparse initialisers"),
        (field(7, field(1, field(5, field(6, b"")))), "sub-graph"),
        (field(7, field(5, field(13, b""))), "external data"),
        (field(7, field(5, varint(14 << 3) + b"\1")), "external data"),
        (field(6, b"x" * (LIMITS["notes"] + 1)), "Model.doc_string holds 65,537 bytes"),
        (field(14, field(2, b"x" * (LIMITS["notes"] + 1))), "Entry.value holds"),
        (field(7, field(2, b"x" * (LIMITS["text"] + 1))), "Graph.name holds"),
        (field(7, field(5, b"") * (LIMITS["tensors"] + 1)), "more than the 20,000 tensors"),
        (field(7, field(1, field(5, b"") * (LIMITS["attributes"] + 1))), "more than the 100,000 attributes"),
        (field(7, field(5, field(7, b"\1" * (LIMITS["values"] + 1)))), "more than the 1,000,000 values"),
        (b"\0" * (LIMITS["bytes"] + 1), "67,108,865 bytes"),
    ],
)
def test_refusals_name_the_check_and_the_offender(data: bytes, message: str) -> None:
    with pytest.raises(AuditError, match=message):
        scan(data)


@pytest.mark.parametrize(
    "shape",
    [
        "b'\\x0a\\x00' * 4_000_000",  # empty nodes
        "b'\\x0a\\x02\\x2a\\x00' * 2_000_000",  # nodes with an empty attribute
        "b'\\x2a\\x00' * 4_000_000",  # empty initialisers
        # one tensor, millions of dims
        "b'\\x0a\\x00' + b'\\x2a\\x84\\x80\\x80\\x04' + b'\\x08\\x01' * 4_194_304",
        "b'\\x0a\\x8a\\x80\\x80\\x04' + b'\\x2a\\x85\\x80\\x80\\x04' + b'\\x40\\x01' * 4_194_304",
    ],
)
def test_a_bomb_is_refused_in_under_a_second_and_200_mb(shape: str) -> None:
    """Row 18: parsing such a file first costs 580 MB. The process's own peak counts, imports included."""
    script = f"""
        import resource, time
        from stillwatch.artifact.audit import audit
        from stillwatch.errors import AuditError
        body = {shape}
        size = len(body)
        length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])
        model = b"\\x3a" + length + body
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        try:
            audit(model)
        except AuditError as exc:
            seconds = time.process_time() - start
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            print(seconds, grown, exc, sep="|")
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    seconds, kilobytes, message = run.stdout.strip().split("|")
    assert message.startswith("audit ")
    assert float(seconds) < 1.0
    assert int(kilobytes) < 200 * 1024


def test_the_limits_let_an_honest_large_forest_pass() -> None:
    nodes = 100_000
    ints = helper.make_attribute("nodes_nodeids", list(range(nodes)))
    floats = helper.make_attribute("nodes_values", [0.5] * nodes)
    modes = helper.make_attribute("nodes_modes", ["BRANCH_LEQ"] * nodes)
    forest = graphs.model()
    forest.graph.node[0].attribute.extend([ints, floats, modes])
    assert scan(forest.SerializeToString())["values"] > 3 * nodes
