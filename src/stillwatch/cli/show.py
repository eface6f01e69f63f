"""What commands print, and how: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stillwatch.calibration.discovery import Discoveries
from stillwatch.evaluation.inert import inert_json, plain

Tell = Callable[[str, int, int], None]
"""(step, done, total); a total of 0 is not known."""


class Volume(IntEnum):
    """How much is said on standard error: errors; progress, too; and what the library logs, too."""

    QUIET = 0
    USUAL = 1
    VERBOSE = 2


_volume = Volume.USUAL
_WIDTH = 160  # of what is not a terminal: a file or a pipe should not have lines broken at 80 signs


@contextmanager
def speaking(volume: Volume) -> Iterator[None]:
    """Say so much while a command runs."""
    global _volume  # noqa: PLW0603 - one command runs in a process
    before, _volume = _volume, volume
    log, handler = logging.getLogger("stillwatch"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    level = log.level
    if volume is Volume.VERBOSE:
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        _volume = before
        log.removeHandler(handler)
        log.setLevel(level)


def verbose() -> bool:
    """Whether everything is to be said."""
    return _volume is Volume.VERBOSE


def out() -> Console:
    """Standard output."""
    return _console(stderr=False)


def err() -> Console:
    """Standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    # No markup and no emoji: names from the data may look like either.
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH
    return console


def result(value: Any, shown: RenderableType, *, json: bool) -> None:
    """Print a command's result, as one JSON document or for people."""
    if json:
        sys.stdout.buffer.write(inert_json(value))
    else:
        out().print(shown, soft_wrap=isinstance(shown, str))
    flush()


def counted(counts: Mapping[str, int], most: int = 8) -> str:
    """Counts by column, for people; a long list is cut."""
    listed = [f"{plain(column, 40)} {count:,}" for column, count in list(counts.items())[:most]]
    more = [f"and {len(counts) - most:,} more columns"] if len(counts) > most else []
    return ", ".join(listed + more)


def power(found: Discoveries) -> str:
    """What the alarms of a batch are worth, for people."""
    false = f"about {found.fdr * found.alerts:,.0f} of them false" if found.alerts else "none"
    if found.power is None:
        estimate = "no row seems to be unlike the calibration rows, so there is no power to speak of"
    else:
        estimate = (
            f"power at most about {found.power:.0%} (estimate): the scores tell of some {found.unlike:,} rows that are "
            "unlike the calibration rows; labels would measure it"
        )
    return (
        f"alerts {found.alerts:,}, {false}; {estimate}. No alert below {found.fewest:,} rows that score higher "
        "than every calibration row"
    )


def flush() -> None:
    """Let errors of standard output show now."""
    sys.stdout.flush()


def error(message: str, code: str = "") -> None:
    """Print an error and its code, which `docs/errors.md` explains; control characters in it are inert."""
    mark = f" [{code}]" if code else ""
    err().print(f"error: {plain(message, 4000)}{mark}", style="red", soft_wrap=True)


def note(message: str) -> None:
    """Print what should be known about an input, unless all is to be quiet."""
    if _volume is not Volume.QUIET:
        err().print(f"note: {plain(message, 4000)}", style="yellow", soft_wrap=True)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Tell]:
    """A bar a step on a terminal; JSON lines, at its first news and at its end, where it is a file or a pipe.

    Parameters
    ----------
    quiet
        show no bars, for they would run into the output.
    """
    console = err()
    if _volume is Volume.QUIET:
        yield _silent
        return
    if not console.is_terminal:
        yield _json_lines()
        return
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.completed:>9,}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total or None)
            bars.update(tasks[step], completed=done, total=total or None)

        yield tell


def _silent(step: str, done: int, total: int) -> None:
    """Tell nobody."""


def _json_lines() -> Tell:
    began = time.monotonic()
    seen: set[tuple[str, bool]] = set()

    def tell(step: str, done: int, total: int) -> None:
        mark = (step, 0 < total <= done)
        if mark in seen:
            return
        seen.add(mark)
        line = {
            "step": step,
            "done": done,
            "total": total or None,
            "seconds": round(time.monotonic() - began, 3),
        }
        sys.stderr.write(msgspec.json.encode(line).decode() + "\n")
        sys.stderr.flush()

    return tell
