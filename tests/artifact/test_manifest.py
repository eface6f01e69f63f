from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.artifact.manifest import (
    FILES,
    LISTED,
    MANIFEST,
    PROTOCOL,
    READERS,
    FileEntry,
    Golden,
    Manifest,
    decode,
    encode,
)
from stillwatch.calibration.conformal import Calibration
from stillwatch.calibration.groups import Groups
from stillwatch.errors import ArtifactError, ProtocolError, StillwatchError
from stillwatch.table.pack import Layout

from . import graphs


def complete(**changed: Any) -> Manifest:
    return graphs.manifest(files={name: FileEntry("0" * 64, 1) for name in LISTED}, **changed)


def altered(**changes: Any) -> bytes:
    """A manifest with top-level fields replaced, or removed where None."""
    plain = json.loads(encode(complete())) | changes
    return json.dumps({key: value for key, value in plain.items() if value is not None}).encode()


def test_it_comes_back_as_it_was() -> None:
    written = encode(complete(parity=1 / 3, quality={"auroc": 0.1 + 0.2, "at": [1, None, "x"]}))
    assert decode(written) == complete(parity=1 / 3, quality={"auroc": 0.1 + 0.2, "at": [1, None, "x"]})
    assert encode(decode(written)) == written


def test_the_bytes_do_not_depend_on_the_order_of_keys() -> None:
    assert encode(complete(teacher={"a": 1, "b": 2})) == encode(complete(teacher={"b": 2, "a": 1}))


def test_it_is_made_for_people_to_read() -> None:
    lines = encode(complete()).decode().splitlines()
    assert len(lines) > 50
    assert ' "alert_rate": 0.01,' in lines


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_floats_keep_every_bit(number: float) -> None:
    kept = decode(encode(complete(fidelity={"x": number}))).fidelity["x"]
    assert float(kept).hex() == number.hex()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_without_a_json_form_are_refused_with_their_place(bad: float) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.fidelity\.top\[1\]: (nan|-?inf)"):
        encode(complete(fidelity={"top": [0.0, bad]}))


def test_values_without_a_json_form_are_refused() -> None:
    with pytest.raises(ArtifactError, match="cannot be written as JSON"):
        encode(complete(teacher={"model": object()}))
    with pytest.raises(ArtifactError, match="cannot be written as JSON"):
        encode(complete(teacher={"name": "\ud800"}))


def test_row_19_a_newer_protocol_names_the_version_that_it_needs() -> None:
    newer = altered(protocol=PROTOCOL + 1, writer="2.7.0", parity={"another": "shape"}, brand_new=1)
    with pytest.raises(
        ProtocolError, match=rf"needs stillwatch >= 2\.7\.0: protocol 2.*reads up to {PROTOCOL}"
    ):
        decode(newer)


@pytest.mark.parametrize("protocol", [0, -1])
def test_an_unknown_older_protocol_is_refused(protocol: int) -> None:
    with pytest.raises(ProtocolError, match="none that was ever written"):
        decode(altered(protocol=protocol))


def test_every_protocol_up_to_now_has_a_reader() -> None:
    assert sorted(READERS) == list(range(1, PROTOCOL + 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": None}, "missing required field `protocol`"),
        ({"protocol": "1"}, "Expected `int`"),
        ({"parity": None}, "missing required field `parity`"),
        ({"parity": "0"}, "Expected `float`"),
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"golden": {"rows": [], "scores": [], "more": 1}}, "unknown field `more`"),
        ({"golden": {"rows": [{"a": [1]}], "scores": [0]}}, "golden.rows"),
        ({"schema": {"columns": [], "missing": []}}, "no feature column"),
        ({"files": {}}, "files must be exactly model.onnx, README.md"),
        ({"layout": {"num": ["a"], "num64": [], "txt": [], "time": []}}, "layout and schema disagree"),
        ({"layout": {"num": ["a", "b", "c"], "num64": ["a"], "txt": [], "time": []}}, "names a column twice"),
        (
            {"layout": {"num": ["a", "b"], "num64": [], "txt": ["c"], "time": []}},
            "layout and schema disagree",
        ),
        ({"categories": {"a": ["x"]}}, "no text input"),
        ({"alert_rate": 0}, "alert_rate"),
        ({"parity": -1}, "parity"),
        ({"golden": {"rows": [{"a": 1}], "scores": []}}, "golden"),
        ({"groups": {"column": "z", "tables": {}}}, "groups: the schema has no such column"),
        ({"parent": "<b>"}, "parent is no SHA-256"),
    ],
)
def test_wrong_fields_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        decode(altered(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at_least": [4]}, "differ in length"),
        ({"scores": [], "at_least": []}, "empty"),
        ({"scores": [2.0, 1.0]}, "ascend"),
        ({"at_least": [1, 4]}, "descend"),
        ({"at_least": [5, 1]}, r"outside 1\.\.rows"),
        ({"at_least": [4, 0]}, r"outside 1\.\.rows"),
    ],
)
def test_a_calibration_table_that_is_none_is_refused(changes: dict[str, Any], message: str) -> None:
    table = msgspec.to_builtins(Calibration(scores=(0.0, 1.0), at_least=(4, 1), rows=4, approximate=False))
    with pytest.raises(ArtifactError, match=f"calibration: .*{message}"):
        decode(altered(calibration=table | changes))
    with pytest.raises(ArtifactError, match=f"groups: .*{message}"):
        decode(altered(groups={"column": "a", "tables": {"x": table | changes}}))


@pytest.mark.parametrize(
    "place", [("schema",), ("schema", "columns", 0), ("layout",), ("calibration",), ("golden",)]
)
def test_unknown_fields_are_refused_at_every_depth(place: tuple[Any, ...]) -> None:
    plain = json.loads(encode(complete()))
    inner = plain
    for step in place:
        inner = inner[step]
    inner["surprise"] = 1
    with pytest.raises(ArtifactError, match="unknown field"):
        decode(json.dumps(plain).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"protocol": 1e400}', b"[" * 100_000, b'{"protocol":NaN}'],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=MANIFEST):
        decode(data)


def test_numbers_too_large_for_a_float_are_refused() -> None:
    with pytest.raises(ArtifactError):
        decode(altered().replace(b'"parity": 0.0', b'"parity": 1e400'))


def test_deep_nesting_is_refused() -> None:
    deep = b"[" * 50_000 + b"]" * 50_000
    with pytest.raises(ArtifactError):
        decode(altered().replace(b'"knowledge": {}', b'"knowledge": {"x": ' + deep + b"}"))


def test_size_is_checked_before_anything_is_read() -> None:
    with pytest.raises(ArtifactError, match="more than the"):
        decode(b" " * (FILES[MANIFEST] + 1))


def test_messages_are_safe_to_print() -> None:
    with pytest.raises(ArtifactError) as caught:
        decode(altered(**{"\x1b[31m" + "x" * 5000: 1}))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_text_column_is_a_text_input() -> None:
    assert complete().layout == Layout(num=("a", "b", "c"), num64=(), txt=())
    assert Golden(rows=({"a": None, "b": True, "c": "x"},), scores=(0.0,)).rows[0]["b"] is True


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_mutated_manifests_raise_nothing_but_our_errors(data: st.DataObject) -> None:
    changed = bytearray(encode(complete()))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(StillwatchError):
        decode(bytes(changed))


def test_groups_and_parent_survive_a_round_trip() -> None:
    table = Calibration(scores=(0.0, 1.0), at_least=(4, 1), rows=4, approximate=False, normal=True)
    manifest = complete()
    manifest = msgspec.structs.replace(
        manifest, groups=Groups(column="a", tables={"x": table}), parent="0123456789abcdef" * 4
    )
    assert decode(encode(manifest)) == manifest
