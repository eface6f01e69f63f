"""Asking a teacher, with a cache that survives a crash.

Answers are cached block by block under a name made of the teacher's fingerprint and the block's bytes. A rerun reads what is
there and asks the rest, whether the first run finished, was killed or met an error after nine tenths.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import InputError
from stillwatch.teachers.protocol import Teacher, ask

BLOCK = 4096


class Asker:
    """A fitted teacher behind a cache.

    Parameters
    ----------
    teacher
        a fitted teacher.
    fitted_on
        (n, d) rows that it was fitted on, part of its fingerprint.
    cache
        folder for its answers, which is made; None: nothing is kept.
    progress
        called with (rows asked, rows in all) after every block.
    """

    def __init__(
        self,
        teacher: Teacher,
        fitted_on: NDArray[np.float32],
        *,
        cache: str | Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.teacher = teacher
        self.rows = 0
        self.seconds = 0.0
        self._cache = _folder(cache) if cache is not None else None
        self._fingerprint = fingerprint(teacher, fitted_on) if self._cache is not None else b""
        self._progress = progress

    def ask(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, d) features to (n,) raw scores, from the cache where it knows them.

        Raises
        ------
        TeacherError
            the teacher failed; blocks that were answered stay in the cache.
        """
        raw = np.empty(len(x), dtype=np.float64)
        for start in range(0, len(x), BLOCK):
            block = x[start : start + BLOCK]
            raw[start : start + BLOCK] = self._ask_block(block)
            if self._progress is not None:
                self._progress(min(start + BLOCK, len(x)), len(x))
        return raw

    def _ask_block(self, block: NDArray[np.float32]) -> NDArray[np.float64]:
        if self._cache is None:
            return self._ask_teacher(block)
        name = hashlib.sha256(self._fingerprint + str(block.shape).encode() + block.tobytes()).hexdigest()
        path = self._cache / f"{name[:32]}.npy"
        known = _read(path, len(block))
        if known is not None:
            return known
        raw = self._ask_teacher(block)
        _write(path, raw)
        return raw

    def _ask_teacher(self, block: NDArray[np.float32]) -> NDArray[np.float64]:
        began = perf_counter()
        raw = ask(self.teacher, block)
        self.seconds += perf_counter() - began
        self.rows += len(block)
        return raw


def fingerprint(teacher: Teacher, fitted_on: NDArray[np.float32]) -> bytes:
    """Digest of a teacher's recipe and of the rows it was fitted on."""
    recipe = msgspec.json.encode(teacher.recipe(), order="sorted")
    rows = str(fitted_on.shape).encode() + np.ascontiguousarray(fitted_on).tobytes()
    return hashlib.sha256(recipe + hashlib.sha256(rows).digest()).digest()


def _folder(cache: str | Path) -> Path:
    folder = Path(cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(
            f"cache={str(folder)!r}: the folder cannot be made ({exc.strerror}). Name another."
        ) from exc
    return folder


def _read(path: Path, rows: int) -> NDArray[np.float64] | None:
    """Cached scores, or None where there are none that fit: a damaged file is asked again."""
    try:
        with path.open("rb") as file:
            raw = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError):
        return None
    fits = raw.shape == (rows,) and raw.dtype == np.float64
    return raw if fits else None


def _write(path: Path, raw: NDArray[np.float64]) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.lib.format.write_array(file, raw, allow_pickle=False)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
