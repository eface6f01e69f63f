"""What commands print, and how: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stillwatch.evaluation.inert import plain

Tell = Callable[[str, int, int], None]


def out() -> Console:
    """Standard output."""
    return Console(highlight=False)


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False)


def result(value: Any, shown: RenderableType, *, json: bool) -> None:
    """Print a command's result, as one JSON document or for people."""
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    else:
        out().print(shown)


def error(message: str) -> None:
    """Print an error; control characters in it are inert."""
    err().print(f"error: {plain(message, 4000)}", style="red", markup=False, soft_wrap=True)


@contextmanager
def progress() -> Iterator[Tell]:
    """A bar a step on a terminal; one JSON line a step where standard error is a file or a pipe."""
    if not err().is_terminal:
        yield _json_lines()
        return
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.completed:>9,} / {task.total:,}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err(), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield tell


def _json_lines() -> Tell:
    began = time.monotonic()
    seen: set[tuple[str, bool]] = set()

    def tell(step: str, done: int, total: int) -> None:
        mark = (step, done >= total)
        if mark in seen:
            return
        seen.add(mark)
        line = {"step": step, "done": done, "total": total, "seconds": round(time.monotonic() - began, 3)}
        sys.stderr.write(msgspec.json.encode(line).decode() + "\n")

    return tell
