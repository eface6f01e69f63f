"""C compiled with all warnings on, called row by row."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
INPUTS = ("num", "num64", "txt", "time")
FLAGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O3")

Feed = dict[str, Any]
Score = Callable[[Feed], np.ndarray[Any, Any]]


def compiled(source: Path, function: str = "model_score", flags: Sequence[str] = ()) -> tuple[Score, Any]:
    """What scores a feed of the graph's inputs by the C function, and the library."""
    library = source.with_suffix(".so")
    subprocess.run(["gcc", *FLAGS, *flags, "-shared", "-fPIC", "-o", library, source, "-lm"], check=True)
    loaded = ctypes.CDLL(str(library))
    call = getattr(loaded, function)
    call.restype = ctypes.c_float

    def score(feed: Feed) -> np.ndarray[Any, Any]:
        names = [name for name in INPUTS if name in feed]
        found = []
        for row in zip(*(feed[name] for name in names), strict=True):
            held = [_text(each) if each.dtype == object else np.ascontiguousarray(each) for each in row]
            found.append(
                call(
                    *(
                        each if isinstance(each, ctypes.Array) else each.ctypes.data_as(ctypes.c_void_p)
                        for each in held
                    )
                )
            )
        return np.array(found, np.float32)

    return score, loaded


def _text(row: np.ndarray[Any, Any]) -> Any:
    return (ctypes.c_char_p * len(row))(*(text.encode() for text in row))
