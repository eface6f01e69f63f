"""Where scores and dead letters go, and how far that has got.

A position file stands beside scores that go to a file. It says how long scores and dead letters were at a moment when both were
on the disk, and which event that was. Whatever came later is cut off at the next start and scored again, so that a run that was
killed at any point and resumed gives the bytes of a run that was not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from stillwatch.errors import InputError
from stillwatch.stream.events import Scored
from stillwatch.table.write import write_whole

_EVERY = 1.0  # seconds between two positions
_MOST_BYTES = 1 << 20  # of a position file

Target = int | Path


class Position(msgspec.Struct, forbid_unknown_fields=True):
    """How far a stream has been answered.

    Attributes
    ----------
    key
        of the last event that was scored; None: there was none, or the model has no key columns.
    after
        lines that came after it, or in all, and were answered too; a header is none.
    scores, dead
        bytes of scores, and of the file of dead letters.
    dead_letters
        path of that file; "" where they went to a pipe.
    """

    key: list[Any] | None = None
    after: int = 0
    scores: int = 0
    dead: int = 0
    dead_letters: str = ""


class Outlet:
    """Writes scores and dead letters, whole lines at a time.

    Parameters
    ----------
    scores
        descriptor of a pipe or a terminal, or path of a file, which gets a position file beside it.
    dead_letters
        the same for lines that cannot be scored; a file is added to.
    raw
        put the line itself into its dead letter: it may hold anything.
    resume, overwrite
        go on where a file of scores ends, or replace it; without either it must not exist. Nothing to a pipe.

    Raises
    ------
    InputError
        a file cannot be written, is in the way, or does not fit its position.
    """

    def __init__(
        self,
        scores: Target,
        dead_letters: Target,
        *,
        raw: bool = False,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self._raw = raw
        self._place = scores.with_name(f"{scores.name}.position") if isinstance(scores, Path) else None
        kept = _read(self._place) if self._place is not None and resume else None
        if isinstance(scores, Path) and scores.exists() and kept is None and not overwrite:
            how = "has no position beside it" if resume else "resume=True (--resume) goes on where it ends"
            raise InputError(
                f"{scores} exists, and {how}. Name another target, or replace it by overwrite=True (--overwrite)."
            )
        self._scores, self._dead = _Sink(scores), _Sink(dead_letters)
        self.position = kept or Position()
        self._scores.cut(self.position.scores)
        name = os.path.abspath(dead_letters) if isinstance(dead_letters, Path) else ""
        if name == self.position.dead_letters and kept is not None:
            self._dead.cut(self.position.dead)
        else:
            self.position.dead_letters, self.position.dead = name, self._dead.size()
        self._keep()

    def put(self, lines: Sequence[bytes], scored: Scored, first: int, key: tuple[Any, ...] | None) -> None:
        """Write what came of a batch.

        Parameters
        ----------
        first
            number of its first line.
        key
            of the last event that was scored; None: there was none, or the model has no key columns.
        """
        scores = b"\n".join([*scored.lines, b""])
        letters = b"".join(self._letter(lines[at], first + at, why) for at, why in scored.refused)
        self._scores.write(scores)
        self._dead.write(letters)
        # Only now: a position never counts half of a batch.
        self.position.scores += len(scores)
        self.position.dead += len(letters)
        if key is None:
            self.position.after += len(lines)
        else:
            self.position.key, self.position.after = list(key), len(lines) - 1 - scored.places[-1]
        if monotonic() >= self._kept + _EVERY:
            self._keep()

    def close(self) -> None:
        """Keep the position, and close the files."""
        self._keep()
        self._scores.close()
        self._dead.close()

    def _keep(self) -> None:
        self._kept = monotonic()
        if self._place is not None:
            self._scores.sync()
            self._dead.sync()
            write_whole(self._place, msgspec.json.encode(self.position) + b"\n", overwrite=True)

    def _letter(self, line: bytes, number: int, reason: str) -> bytes:
        letter: dict[str, Any] = {"line": number, "reason": reason}
        if self._raw:
            letter["raw"] = line.decode(errors="replace")
        return msgspec.json.encode(letter) + b"\n"


class _Sink:
    """An open descriptor of somebody else's, or a file of ours."""

    def __init__(self, target: Target) -> None:
        self._path = target if isinstance(target, Path) else None
        with self._explained():
            self._descriptor = (
                os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
                if isinstance(target, Path)
                else target
            )

    def write(self, data: bytes) -> None:
        with self._explained():
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def size(self) -> int:
        return 0 if self._path is None else os.fstat(self._descriptor).st_size

    def sync(self) -> None:
        """Force it to the disk."""
        if self._path is not None:
            with self._explained():
                os.fsync(self._descriptor)

    def cut(self, size: int) -> None:
        if self._path is None:
            return
        if self.size() < size:
            raise InputError(
                f"{self._path} has {self.size():,} bytes, fewer than the {size:,} that its position tells. It was changed: "
                "name another target, or begin anew with overwrite=True (--overwrite)."
            )
        with self._explained():
            os.truncate(self._descriptor, size)

    def close(self) -> None:
        if self._path is not None:
            os.close(self._descriptor)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if self._path is None:
                raise
            raise InputError(f"{self._path} cannot be written: {exc.strerror or exc}.") from exc


def _read(place: Path) -> Position | None:
    """The position that was kept, None where there is none yet."""
    try:
        with place.open("rb") as file:
            return msgspec.json.decode(file.read(_MOST_BYTES), type=Position)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise InputError(
            f"{place} cannot be read as a position ({exc}). Begin anew with another target."
        ) from exc
