"""One row to one score in microseconds.

The buffers that onnxruntime reads from and writes to are bound once a thread; a row is written into them and the session
runs. What the quick way cannot read in stride - a number written as text, a missing or misspelt column - goes through the
packer, which reads it by the same rules as a whole table or says what is wrong with it.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stillwatch.artifact.manifest import Manifest
from stillwatch.artifact.parity import run_session
from stillwatch.table.pack import Packer

_Getter = Callable[[Any], tuple[Any, ...]]
_NOT_IN_STRIDE = (KeyError, IndexError, TypeError, ValueError, OverflowError, struct.error)


class OneRow:
    """The quick way from a row to its score; safe to share between threads."""

    def __init__(self, manifest: Manifest, session: ort.InferenceSession, packer: Packer) -> None:
        layout, schema = manifest.layout, manifest.schema
        self.known = {name: frozenset(manifest.categories.get(name, ())) for name in schema.texts}
        self._manifest, self._session, self._packer = manifest, session, packer
        self._width = len(schema.features)
        place = {column.name: i for i, column in enumerate(schema.features)}
        inputs = (layout.num, layout.num64, layout.txt)
        self._by_name = tuple(_getter(names) for names in inputs)
        self._by_place = tuple(_getter([place[name] for name in names]) for names in inputs)
        self._num = struct.Struct(f"{len(layout.num)}f")
        self._num64 = struct.Struct(f"{len(layout.num64)}d")
        self._vocabulary = tuple(self.known[name] for name in layout.txt)
        self._in_order = not layout.txt and layout.num == tuple(place)
        # Numbers that stand for a missing value, points in time, and booleans written as words need the packer's rules.
        self._in_stride = not len(packer.rules.missing_numbers) and not layout.time
        self._local = threading.local()

    def score(self, row: Mapping[str, Any] | Sequence[Any] | NDArray[Any]) -> float:
        """Score of one row; higher = more abnormal."""
        if self._in_stride:
            try:
                slot: _Slot = self._local.slot
            except AttributeError:
                slot = self._local.slot = _Slot(self._manifest, self._session)
            try:
                if self._fill(slot, row):
                    return slot.run()
            except _NOT_IN_STRIDE:
                pass
        return float(run_session(self._session, self._manifest, self._packer.row(row))[0])

    def _fill(self, slot: _Slot, row: Any) -> bool:
        """Write a row into the buffers, or say that it needs the packer."""
        if isinstance(row, dict):
            num, num64, txt = self._by_name
        else:
            if isinstance(row, np.ndarray) and row.dtype.kind in "fiu" and row.ndim == 1:
                row = row.tolist()
            # Named tuples and other mappings go by name; the packer knows them.
            if type(row) not in {list, tuple} or len(row) != self._width:
                return False
            if self._in_order:
                self._num.pack_into(slot.view, 0, *row)
                return True
            num, num64, txt = self._by_place
        self._num.pack_into(slot.view, 0, *num(row))
        self._num64.pack_into(slot.view64, 0, *num64(row))
        if slot.txt is not None:
            texts = txt(row)
            for value, known in zip(texts, self._vocabulary, strict=True):
                if value not in known:
                    return False
            slot.txt[0] = texts
        return True


class _Slot:
    """One thread's buffers, and the session bound to them where all inputs are numbers."""

    def __init__(self, manifest: Manifest, session: ort.InferenceSession) -> None:
        layout = manifest.layout
        num = np.zeros((1, len(layout.num)), dtype=np.float32)
        num64 = np.zeros((1, len(layout.num64)), dtype=np.float64)
        self.view, self.view64 = memoryview(num.data), memoryview(num64.data)
        self.txt = np.full((1, len(layout.txt)), "", dtype=object) if layout.txt else None
        self._session = session
        self._score = np.zeros((1, 1), dtype=np.float32)
        buffers: dict[str, NDArray[Any] | None] = {"num": num, "num64": num64, "txt": self.txt}
        self._feed = {name: buffer for name, buffer in buffers.items() if buffer is not None and buffer.size}
        self._binding = self._bound() if self.txt is None else None

    def run(self) -> float:
        if self._binding is None:
            return float(self._session.run(["score"], self._feed)[0][0, 0])
        self._session.run_with_iobinding(self._binding)
        return float(self._score[0, 0])

    def _bound(self) -> ort.IOBinding:
        # An OrtValue made from a NumPy array on the CPU shares its memory, so writing the buffer changes the input.
        binding = self._session.io_binding()
        self._values = {name: ort.OrtValue.ortvalue_from_numpy(buffer) for name, buffer in self._feed.items()}
        for name, value in self._values.items():
            binding.bind_ortvalue_input(name, value)
        self._values["score"] = ort.OrtValue.ortvalue_from_numpy(self._score)
        binding.bind_ortvalue_output("score", self._values["score"])
        return binding


def _getter(names: Sequence[Any]) -> _Getter:
    """Like `itemgetter`, always to a tuple."""
    if len(names) > 1:
        return itemgetter(*names)
    if names:
        only = names[0]
        return lambda row: (row[only],)
    return lambda row: ()
