"""`score --stream`: lines as they come, from standard input or a file, to NDJSON."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from stillwatch.cli.guard import INTERRUPTED
from stillwatch.cli.options import spare_the_data
from stillwatch.cli.parts import PARTIAL
from stillwatch.cli.show import err, progress
from stillwatch.errors import TableError


@dataclass(frozen=True)
class StreamOptions:
    """What the flags of a stream say; see `score --help`."""

    dead_letters: Path | None = None
    raw: bool = False
    resume: bool = False
    absent_is_missing: bool = False
    count: int | None = None
    wait_ms: int | None = None

    def given(self) -> list[str]:
        """Flags that were given."""
        return [f"--{name.replace('_', '-')}" for name, value in asdict(self).items() if value]


def score_lines(
    model: str,
    data: list[str],
    output: str | None,
    options: StreamOptions,
    *,
    alert_rate: float | None,
    delimiter: str | None,
    overwrite: bool,
) -> None:
    """Score until the source ends, or a signal does: what was read by then is answered first."""
    from stillwatch.scorer import load
    from stillwatch.stream import Lines, Outlet, score_stream
    from stillwatch.stream.lines import COUNT, WAIT

    if len(data) != 1:
        raise typer.BadParameter("--stream reads one source: - for standard input, or one file.")
    if output is not None and not output.endswith((".ndjson", ".jsonl")):
        raise typer.BadParameter("--stream writes NDJSON: name a .ndjson or .jsonl file with --out.")
    if options.resume and output is None:
        raise typer.BadParameter("--resume goes on where a file of scores ends: name it with --out.")
    spare_the_data(data, output, options.dead_letters)
    scorer = load(model)
    with _opened(data[0]) as source, _stopped() as stop:
        outlet = Outlet(
            sys.stdout.fileno() if output is None else Path(output),
            options.dead_letters or sys.stderr.fileno(),
            raw=options.raw,
            resume=options.resume,
            overwrite=overwrite,
        )
        lines = Lines(
            source,
            count=options.count or COUNT,
            wait=WAIT if options.wait_ms is None else options.wait_ms / 1_000,
            stop=stop.descriptor,
        )
        quiet = output is None and sys.stdout.isatty()
        try:
            with progress(quiet=quiet) as tell:
                totals = score_stream(
                    scorer,
                    lines.batches(),
                    outlet,
                    rate=alert_rate,
                    delimiter=delimiter,
                    absent_is_missing=options.absent_is_missing,
                    progress=lambda rows: tell("stream", rows, 0),
                )
                tell("stream", totals.rows, totals.rows)
        finally:
            outlet.close()
    if err().is_terminal and not quiet:
        err().print(f"{totals.rows:,} events, {totals.alerts:,} alerts, {totals.refused:,} dead letters")
    if stop.number == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)
    if stop.number is None and totals.refused:
        raise typer.Exit(PARTIAL)


class _Stop:
    """The signal that came, and a descriptor that can be read from then on."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.descriptor, self._end = os.pipe()

    def __call__(self, number: int, _: Any) -> None:
        self.number = number
        os.write(self._end, b".")
        for each in (signal.SIGINT, signal.SIGTERM):  # the second one ends it at once
            signal.signal(each, signal.SIG_DFL)

    def close(self) -> None:
        os.close(self.descriptor)
        os.close(self._end)


@contextmanager
def _stopped() -> Iterator[_Stop]:
    stop = _Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


@contextmanager
def _opened(name: str) -> Iterator[int]:
    if name == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise TableError("standard input is closed. Name a file instead of '-'.")
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(name, os.O_RDONLY)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            yield file.fileno()
    except OSError as exc:
        if exc.filename != name:
            raise
        raise TableError(f"{name} cannot be read: {exc.strerror}.") from exc
