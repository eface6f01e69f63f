"""`manifest.json`: what a model folder holds, and the protocol that its readers follow.

`PROTOCOL` is one integer for the whole folder. Any change to a field's name, type or meaning, to the set of
files, or to what the graph takes and gives, is a new protocol. To change it:

1. copy the structs as they stand into `manifest_N.py`, N being the old number, with a function that decodes
   them and returns today's `Manifest`; enter that function in `READERS` under N;
2. raise `PROTOCOL` by one (`READERS` enters `_read_current` under it) and change the structs here;
3. keep a folder written under N in the golden tests, with its scores: every old protocol loads and scores the
   same;
4. say in the changelog what changed and which version writes it first.

A reader never guesses: a newer protocol is refused before any other field is looked at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec

from stillwatch.artifact.quote import quote
from stillwatch.calibration.conformal import Calibration
from stillwatch.calibration.groups import Groups
from stillwatch.drift.sketch import MOST_ROWS, Sketches
from stillwatch.errors import ArtifactError, ProtocolError
from stillwatch.explain.references import References
from stillwatch.table.pack import Layout
from stillwatch.table.schema import Schema

PROTOCOL = 1
_MOST_SCORE = 1e38  # scores are float32

MODEL, MANIFEST, DIGEST = "model.onnx", "manifest.json", "DIGEST"
REPORT_HTML, REPORT_JSON, CARD = "report.html", "report.json", "README.md"

LISTED = (MODEL, CARD)
"""The files whose sizes and digests stand in the manifest: what the same data, seed and machine give again."""

SEALED = (MANIFEST, REPORT_HTML, REPORT_JSON)
"""The files whose digests stand in `DIGEST`, a line each, in this order. The reports hold what was clocked."""

# Every name that is ever opened, and the most bytes that are read from it.
FILES: dict[str, int] = {
    MODEL: 64 << 20,
    MANIFEST: 16 << 20,
    DIGEST: sum(64 + len(f"  {name}\n") for name in SEALED),
    REPORT_HTML: 32 << 20,
    REPORT_JSON: 16 << 20,
    CARD: 1 << 20,
}
Value = str | float | bool | None


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size in bytes and SHA-256 (lower-case hexadecimal) of one file of the folder."""

    sha256: str
    size: int


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Synthetic rows (column -> value) and the scores that the graph gave them when it was written."""

    rows: tuple[dict[str, Value], ...]
    scores: tuple[float, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is known about a model. Nothing clocked, no training row, no path.

    Parameters
    ----------
    protocol, writer
        `PROTOCOL` of the writer, and its Stillwatch version.
    schema, layout
        Columns with kinds and roles; which column stands where in the graph's inputs.
    categories
        Known values of each category column, for counting unseen ones.
    calibration, alert_rate
        The table that turns a score into a p-value; the share of normal rows accepted as false alarms by
        default.
    groups
        Tables of their own for the values of one column that have enough rows; None where none was asked for.
    parent
        Digest of the model whose graph this is, where only the calibration is new.
    teacher, knowledge, student
        Provenance: names, parameters, seeds, library versions, data fingerprint; in `knowledge`, under `features`, the constants
        of the features, for a later distillation that goes on in the same units.
    fidelity, quality
        Agreement with the teacher; agreement with labels, None where there were none.
    references
        What is normal for each column, for reasons.
    sketches
        Counts of every column and of the score, which later rows are compared with.
    golden
        Rows that must score the same for as long as the folder lives.
    parity
        Largest |a - b| / max(1, |a|) between the student's own form and onnxruntime.
    opset
        Version of the default operator domain of the graph.
    files
        Size and digest of every file in `LISTED`; filled in by `write_artifact`.
    """

    protocol: int = PROTOCOL
    writer: str
    schema: Schema
    layout: Layout
    categories: dict[str, tuple[str, ...]]
    calibration: Calibration
    alert_rate: float
    groups: Groups | None = None
    parent: str | None = None
    teacher: dict[str, Any]
    knowledge: dict[str, Any]
    student: dict[str, Any]
    fidelity: dict[str, Any]
    quality: dict[str, Any] | None = None
    references: References = References()
    sketches: Sketches = Sketches()
    golden: Golden
    parity: float
    opset: int
    files: dict[str, FileEntry] = {}


class _Head(msgspec.Struct):
    """All that is read before the protocol is known."""

    protocol: int
    writer: str = "a newer version"


def encode(manifest: Manifest) -> bytes:
    """Write a manifest as JSON: sorted keys, indented, the same bytes for the same content.

    Raises
    ------
    ArtifactError
        A value is no JSON: NaN, an infinity, or an object without a JSON form. The message names where.
    """
    try:
        # The detour over plain values is where NaN is found: msgspec would write it as null, and lose it.
        plain = msgspec.to_builtins(manifest, order="sorted")
        _refuse_non_finite(plain, "manifest")
        return msgspec.json.format(msgspec.json.encode(plain, order="sorted"), indent=1) + b"\n"
    except (TypeError, ValueError, RecursionError) as exc:
        raise ArtifactError(f"manifest: a value cannot be written as JSON ({quote(exc, 200)})") from exc


def decode(data: bytes) -> Manifest:
    """Read a manifest, protocol first.

    Raises
    ------
    ProtocolError
        Written by a newer version, or by none that this one knows.
    ArtifactError
        Not JSON, too large, a field missing, unknown or of another type, or fields that contradict each
        other.
    """
    if len(data) > FILES[MANIFEST]:
        raise ArtifactError(f"{MANIFEST}: {len(data):,} bytes, more than the {FILES[MANIFEST]:,} allowed")
    try:
        head = msgspec.json.decode(data, type=_Head)
        reader = READERS.get(head.protocol)
        if reader is None:
            raise ProtocolError(_protocol_message(head))
        manifest = reader(data)
    # msgspec's own errors are ValueErrors; text that is no UTF-8 is a UnicodeDecodeError.
    except (ValueError, RecursionError) as exc:
        raise ArtifactError(f"{MANIFEST}: {quote(exc, 200)}") from exc
    _check(manifest)
    return manifest


def _protocol_message(head: _Head) -> str:
    if head.protocol > PROTOCOL:
        return (
            f"{MANIFEST}: needs stillwatch >= {quote(head.writer)[1:-1]}: protocol {head.protocol}, "
            f"and this version reads up to {PROTOCOL}. Upgrade stillwatch"
        )
    return f"{MANIFEST}: protocol {head.protocol} is none that was ever written (known: {sorted(READERS)})"


def _read_current(data: bytes) -> Manifest:
    manifest = msgspec.json.decode(data, type=Manifest)
    # Structs from other packages let unknown fields pass, and a field passed over may have meant something.
    given, kept = msgspec.json.decode(data), msgspec.json.decode(msgspec.json.encode(manifest))
    for name in given:
        if given[name] != kept[name]:
            raise ArtifactError(f"{MANIFEST}: {name} holds an unknown field, or lacks one")
    return manifest


READERS: dict[int, Callable[[bytes], Manifest]] = {PROTOCOL: _read_current}


def _refuse_non_finite(value: object, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ArtifactError(f"{where}: {value} has no JSON form; a manifest holds finite numbers only")
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_non_finite(item, f"{where}.{quote(key)[1:-1]}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _refuse_non_finite(item, f"{where}[{position}]")


def _check(manifest: Manifest) -> None:
    """Refuse a manifest whose fields have the right types and contradict each other."""
    for problem, found in _contradictions(manifest):
        if found:
            raise ArtifactError(f"{MANIFEST}: {problem}")


def _contradictions(manifest: Manifest) -> list[tuple[str, bool]]:
    numbers = (*manifest.layout.num, *manifest.layout.num64)
    texts, times = manifest.layout.txt, manifest.layout.time
    golden = manifest.golden
    return [
        ("layout names a column twice", len({*numbers, *texts, *times}) != len(numbers + texts + times)),
        (
            "layout and schema disagree about the feature columns",
            sorted(numbers) != sorted(manifest.schema.numbers)
            or texts != manifest.schema.texts
            or times != manifest.schema.times,
        ),
        ("categories name a column that is no text input", not set(manifest.categories) <= set(texts)),
        *_calibration_problems("calibration", manifest.calibration),
        *(
            problem
            for table in (manifest.groups.tables.values() if manifest.groups else ())
            for problem in _calibration_problems("groups", table)
        ),
        (
            "groups: the schema has no such column",
            manifest.groups is not None
            and manifest.groups.column not in {column.name for column in manifest.schema.columns},
        ),
        ("parent is no SHA-256", not re.fullmatch(r"[0-9a-f]{64}", manifest.parent or "0" * 64)),
        ("alert_rate lies outside 0..1", not 0 < manifest.alert_rate < 1),
        ("references do not fit the schema", not manifest.references.fit(manifest.schema)),
        ("sketches do not fit the schema", not manifest.sketches.fit(manifest.schema, manifest.categories)),
        ("golden: rows and scores differ in length", len(golden.rows) != len(golden.scores)),
        ("parity is negative", manifest.parity < 0),
        (f"files must be exactly {', '.join(LISTED)}", set(manifest.files) != set(LISTED)),
    ]


def _calibration_problems(name: str, table: Calibration) -> list[tuple[str, bool]]:
    return [
        (f"{name}: the table is empty", not table.scores),
        (f"{name}: scores and at_least differ in length", len(table.scores) != len(table.at_least)),
        (f"{name}: scores do not ascend", any(a > b for a, b in pairwise(table.scores))),
        (
            f"{name}: scores lie beyond what a model can give",
            any(abs(score) > _MOST_SCORE for score in table.scores),
        ),
        (f"{name}: at_least does not descend", any(a < b for a, b in pairwise(table.at_least))),
        (f"{name}: there are more rows than can be counted", table.rows > MOST_ROWS),
        (
            f"{name}: at_least lies outside 1..rows",
            any(not 1 <= count <= table.rows for count in table.at_least),
        ),
    ]
