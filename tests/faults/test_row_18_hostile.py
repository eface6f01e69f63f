"""Hostile graphs in a folder whose digests are all right: refused by our own check, before onnxruntime sees them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

import stillwatch as sw
from stillwatch.artifact.manifest import MODEL
from tests.artifact.test_load import reseal

Change = Callable[[onnx.ModelProto], None]


def _external(location: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return change


def _node(*arguments: Any, **attributes: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.insert(0, helper.make_node(*arguments, **attributes))

    return change


def _inner() -> onnx.GraphProto:
    return helper.make_graph([], "inner", [], [])


def _function(model: onnx.ModelProto) -> None:
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("ours", "f", ["x"], ["y"], [], opsets))


def _huge(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(TensorProto(name="huge", data_type=1, dims=[1 << 20, 1 << 20]))


def _doubled(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


CHANGES: dict[str, Change] = {
    "external data above": _external("../secret"),
    "external data, absolute": _external("/etc/passwd"),
    "external data beside": _external("weights.bin"),
    "custom domain": _node("Anything", ["num"], ["more"], domain="com.evil"),
    "an operator off the list": _node("Dropout", ["num"], ["more"]),
    "If": _node("If", ["num"], ["more"], then_branch=_inner(), else_branch=_inner()),
    "Loop": _node("Loop", ["num"], ["more"], body=_inner()),
    "Scan": _node("Scan", ["num"], ["more"], body=_inner(), num_scan_inputs=1),
    "a function": _function,
    "a constant of 4 TiB": _huge,
    "a doubled initialiser": _doubled,
}


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    shutil.copytree(model, tmp_path / "copy")
    (tmp_path / "secret").write_bytes(b"\0" * 4096)
    return tmp_path / "copy"


@pytest.fixture(autouse=True)
def _onnxruntime_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("onnxruntime saw the graph")

    monkeypatch.setattr(ort, "InferenceSession", refuse)


def assert_refused(copy: Path) -> None:
    with pytest.raises(sw.AuditError, match="audit"):
        sw.load(copy)
    found = sw.verify(copy)
    assert [check.name for check in found.checks if check.ok is False] == ["audit"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_hostile_graph_is_refused(copy: Path, change: str) -> None:
    hostile = onnx.load_model_from_string((copy / MODEL).read_bytes())
    CHANGES[change](hostile)
    reseal(copy, MODEL, hostile.SerializeToString())
    assert_refused(copy)


def test_a_million_nodes_are_refused(copy: Path) -> None:
    """Written on the wire, where an empty node takes two bytes: ModelProto.graph (7), GraphProto.node (1)."""
    nodes = b"\x0a\x00" * 1_000_000
    length = len(nodes)
    prefix = b"\x3a"
    while length > 127:
        prefix += bytes([length & 127 | 128])
        length >>= 7
    reseal(copy, MODEL, (copy / MODEL).read_bytes() + prefix + bytes([length]) + nodes)
    assert_refused(copy)


@pytest.mark.parametrize("link", ["symlink", "hard link"])
def test_a_linked_file_beside_the_graph_is_never_opened(copy: Path, link: str) -> None:
    secret = copy.parent / "secret"
    if link == "symlink":
        (copy / "weights.bin").symlink_to(secret)
    else:
        (copy / "weights.bin").hardlink_to(secret)
    hostile = onnx.load_model_from_string((copy / MODEL).read_bytes())
    _external("weights.bin")(hostile)
    reseal(copy, MODEL, hostile.SerializeToString())
    assert_refused(copy)
