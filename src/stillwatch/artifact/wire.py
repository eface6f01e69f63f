"""Walk the bytes of an ONNX file without building anything: the first gate of the audit.

A parser pays for each message it meets (8 MB of empty nodes become 580 MB of objects), so messages are
counted on the wire first. `MESSAGES` is an allow-list: a field that stands in no table is refused, and
since no table leads back to itself the depth is bounded by the tables. Sub-graphs, functions, training
information, sparse tensors and external data have no table.
"""

from __future__ import annotations

from typing import NamedTuple

from stillwatch.artifact.quote import quote
from stillwatch.errors import AuditError

LIMITS: dict[str, int] = {
    "bytes": 64 << 20,
    "nodes": 20_000,
    "tensors": 20_000,
    "attributes": 100_000,
    "values": 1_000_000,  # fields, and numbers in packed lists: bounds the walk and the parsed size
    "text": 1 << 20,  # bytes of one string or name
    "notes": 1 << 16,  # bytes of one doc string or metadata entry
}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTH = {_FIXED64: 8, _FIXED32: 4}


class Field(NamedTuple):
    """One allowed field: its name, wire type, and what stands inside.

    `inside` is a message's name, "text", "notes" or "raw" for bytes, "" for a number. `many` allows it more
    than once; a number that may stand many times may also be packed into one run of bytes.
    """

    name: str
    wire: int
    inside: str = ""
    many: bool = False


def _text(name: str, *, many: bool = False) -> Field:
    return Field(name, _BYTES, "text", many)


_DOC = Field("doc_string", _BYTES, "notes")

# Numbers are those of onnx.proto.
MESSAGES: dict[str, dict[int, Field]] = {
    "Model": {
        1: Field("ir_version", _VARINT),
        2: _text("producer_name"),
        3: _text("producer_version"),
        4: _text("domain"),
        5: Field("model_version", _VARINT),
        6: _DOC,
        7: Field("graph", _BYTES, "Graph"),
        8: Field("opset_import", _BYTES, "Opset", many=True),
        14: Field("metadata_props", _BYTES, "Entry", many=True),
    },
    "Opset": {1: _text("domain"), 2: Field("version", _VARINT)},
    "Entry": {1: Field("key", _BYTES, "notes"), 2: Field("value", _BYTES, "notes")},
    "Graph": {
        1: Field("node", _BYTES, "Node", many=True),
        2: _text("name"),
        5: Field("initializer", _BYTES, "Tensor", many=True),
        10: _DOC,
        11: Field("input", _BYTES, "ValueInfo", many=True),
        12: Field("output", _BYTES, "ValueInfo", many=True),
    },
    "Node": {
        1: _text("input", many=True),
        2: _text("output", many=True),
        3: _text("name"),
        4: _text("op_type"),
        5: Field("attribute", _BYTES, "Attribute", many=True),
        6: _DOC,
        7: _text("domain"),
    },
    "Attribute": {
        1: _text("name"),
        2: Field("f", _FIXED32),
        3: Field("i", _VARINT),
        4: _text("s"),
        5: Field("t", _BYTES, "Tensor"),
        7: Field("floats", _FIXED32, many=True),
        8: Field("ints", _VARINT, many=True),
        9: _text("strings", many=True),
        13: _DOC,
        20: Field("type", _VARINT),
    },
    "Tensor": {
        1: Field("dims", _VARINT, many=True),
        2: Field("data_type", _VARINT),
        4: Field("float_data", _FIXED32, many=True),
        5: Field("int32_data", _VARINT, many=True),
        6: _text("string_data", many=True),
        7: Field("int64_data", _VARINT, many=True),
        8: _text("name"),
        9: Field("raw_data", _BYTES, "raw"),
        10: Field("double_data", _FIXED64, many=True),
        12: _DOC,
    },
    "ValueInfo": {1: _text("name"), 2: Field("type", _BYTES, "Type"), 3: _DOC},
    "Type": {1: Field("tensor_type", _BYTES, "TensorType")},
    "TensorType": {1: Field("elem_type", _VARINT), 2: Field("shape", _BYTES, "Shape")},
    "Shape": {1: Field("dim", _BYTES, "Dim", many=True)},
    "Dim": {1: Field("dim_value", _VARINT), 2: _text("dim_param")},
}

# Fields of the format that are refused, by the name of what they would bring in.
REFUSED: dict[tuple[str, int], str] = {
    ("Model", 20): "training information",
    ("Model", 25): "functions",
    ("Model", 26): "device configuration",
    ("Graph", 13): "value_info",
    ("Graph", 14): "quantization annotations",
    ("Graph", 15): "sparse initialisers",
    ("Graph", 16): "metadata of the graph",
    ("Node", 8): "an overload",
    ("Node", 9): "metadata of a node",
    ("Node", 10): "device configuration",
    ("Attribute", 6): "a sub-graph (If, Loop, Scan)",
    ("Attribute", 10): "tensor lists",
    ("Attribute", 11): "sub-graphs",
    ("Attribute", 14): "a type",
    ("Attribute", 15): "types",
    ("Attribute", 21): "a reference to a function's attribute",
    ("Attribute", 22): "a sparse tensor",
    ("Attribute", 23): "sparse tensors",
    ("Tensor", 3): "a tensor segment",
    ("Tensor", 11): "unsigned 64-bit data",
    ("Tensor", 13): "external data",
    ("Tensor", 14): "external data (data_location)",
    ("Tensor", 16): "metadata of a tensor",
    ("ValueInfo", 4): "metadata of an input or output",
    ("Type", 6): "a denotation",
    ("Dim", 3): "a denotation",
    ("Type", 4): "a sequence type",
    ("Type", 5): "a map type",
    ("Type", 8): "a sparse type",
    ("Type", 9): "an optional type",
    ("Type", 7): "an opaque type",
}

_COUNTED = {"Node": "nodes", "Tensor": "tensors", "Attribute": "attributes"}


def scan(model: bytes) -> dict[str, int]:
    """Count what an ONNX file holds, reading its bytes once.

    Returns
    -------
    Counts of nodes, tensors, attributes and values, each within `LIMITS`.

    Raises
    ------
    AuditError
        Not an ONNX file, cut short, a field outside the allow-list, or more of something than its limit.
    """
    if len(model) > LIMITS["bytes"]:
        raise AuditError(f"audit size: {len(model):,} bytes, more than the {LIMITS['bytes']:,} allowed")
    walk = _Walk(model)
    walk.message("Model", 0, len(model))
    if not walk.counts["nodes"]:
        raise AuditError("audit wire: the file holds no graph")
    return walk.counts


class _Walk:
    """One pass over the bytes, and what was counted on the way."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.counts = dict.fromkeys((*_COUNTED.values(), "values"), 0)

    def message(self, name: str, at: int, end: int) -> None:
        """Walk the fields of the message that stands at at..end."""
        data, fields = self.data, MESSAGES[name]
        if (counted := _COUNTED.get(name)) is not None:
            self.count(counted, 1)
        seen = set()
        while at < end:
            tag = data[at]
            at += 1
            if tag > 0x7F:
                tag, at = self.varint(at - 1, end)
            field = fields.get(tag >> 3)
            if field is None:
                raise AuditError(f"audit wire: {_unknown(name, tag >> 3)}")
            self.count("values", 1)
            if not field.many:
                # A single field that stands twice is merged by some readers and replaced by others: we might
                # audit one model and run another.
                if tag >> 3 in seen:
                    raise AuditError(f"audit wire: {name}.{field.name} stands twice")
                seen.add(tag >> 3)
            wire = tag & 7
            if wire == _BYTES:
                size, at = self.varint(at, end)
                if size > end - at:
                    raise AuditError(f"audit wire: {name}.{field.name} is cut short")
                self.inside(name, field, at, at + size)
                at += size
            elif wire != field.wire:
                raise AuditError(f"audit wire: {name}.{field.name} has wire type {wire}")
            elif wire == _VARINT:
                _, at = self.varint(at, end)
            else:
                at += _WIDTH[wire]
                if at > end:
                    raise AuditError(f"audit wire: {name}.{field.name} is cut short")

    def inside(self, name: str, field: Field, at: int, end: int) -> None:
        """Check what stands in the bytes at..end of one length-delimited field of message `name`."""
        inside = field.inside
        if inside in MESSAGES:
            self.message(inside, at, end)
        elif inside in LIMITS:
            self.text(f"{name}.{field.name}", at, end, LIMITS[inside])
        elif inside == "" and field.many:
            # Packed numbers. A varint takes one byte or more, so this never counts too few.
            self.count("values", (end - at) // _WIDTH.get(field.wire, 1))
        elif inside != "raw":
            raise AuditError(f"audit wire: {name}.{field.name} has wire type {_BYTES}")

    def text(self, owner: str, at: int, end: int, limit: int) -> None:
        """Check the length of a string, and that it is UTF-8: readers part ways over what is not."""
        if end - at > limit:
            shown = quote(self.data[at : at + 60])
            raise AuditError(f"audit size: {owner} holds {end - at:,} bytes, more than {limit:,}: {shown}")
        try:
            self.data[at:end].decode()
        except UnicodeDecodeError as exc:
            raise AuditError(f"audit wire: {owner} is no UTF-8: {quote(self.data[at:end])}") from exc

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Read one base-128 number at `at`; return it and the position after it."""
        value = shift = 0
        while at < end and shift < 70:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
        raise AuditError("audit wire: a number is cut short or longer than 64 bits")

    def count(self, what: str, more: int) -> None:
        """Add to a count, and refuse what is over its limit."""
        self.counts[what] += more
        if self.counts[what] > LIMITS[what]:
            raise AuditError(f"audit size: more than the {LIMITS[what]:,} {what} allowed")


def _unknown(message: str, number: int) -> str:
    name = REFUSED.get((message, number))
    return f"{message} holds {name}" if name else f"{message} holds the unknown field {number}"
