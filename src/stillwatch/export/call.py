"""One node of a graph, as what writes it in C sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnx import NodeProto, helper

from stillwatch.errors import InputError
from stillwatch.export.values import Value


@dataclass(frozen=True)
class Call:
    """One node and its inputs, None where an optional one is left out.

    `before` is the product whose lowest results alone are asked for: it is not computed as a whole.
    """

    node: NodeProto
    inputs: tuple[Value | None, ...]
    before: Call | None = None

    def value(self, position: int) -> Value:
        """An input that must be there."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            raise self.refused(f"input {position} is missing")
        return found

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                return helper.get_attribute_value(attribute)
        return default

    def numbers(self, name: str, position: int) -> list[int] | None:
        """Integers that are an attribute in some opsets and a known input in others."""
        given: list[int] | None = self.attribute(name)
        if given is not None:
            return list(given)
        if position >= len(self.inputs) or self.inputs[position] is None:
            return None
        array = self.value(position).array
        if array is None:
            raise self.refused(f"{name} is computed")
        return [int(x) for x in array.ravel()]

    def axis(self, default: int, rank: int) -> int:
        """The attribute `axis`, counted from the front."""
        return int(self.attribute("axis", default)) % rank

    def refused(self, why: str) -> InputError:
        """The error that names this node."""
        return InputError(
            f"The C export cannot write {self.node.op_type} giving {self.node.output[0]!r}: {why}. "
            "Score this model with onnxruntime."
        )
