"""What goes wrong in a command: one message on standard error and an exit code, never a stack trace."""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from stillwatch.cli.show import Volume, err, error, flush, speaking, verbose
from stillwatch.errors import StillwatchError
from stillwatch.evaluation.inert import plain

UNUSABLE, INTERRUPTED = 1, 130
SYSTEM, MEMORY, BUG = "SW50", "SW51", "SW99"
"""Codes of errors that the library does not raise itself; see `docs/errors.md`."""

# Messages of the library name its arguments; on the command line they are flags.
FLAGS = {
    "Declare decimal=','": "Pass --decimal ,",
    "overwrite=True (--overwrite)": "--overwrite",
    "resume=True (--resume)": "--resume",
    "allow it to be overwritten": "pass --overwrite",
    "label='...'": "--label COLUMN",
    "encoding='cp1252'": "--encoding cp1252",
    "Distill with calibrate_by=": "Distill with --calibrate-by ",
    "or recalibrate with by=": "or recalibrate with --by ",
    "declare the column a category": "declare it a category (--column NAME=category)",
    "Declare the kind of a column that was set aside": "Declare its kind (--column NAME=KIND)",
    "declare it the label": "name it with --label",
    "declare it a timestamp": "declare it a timestamp (--column NAME=timestamp)",
    "declare its kind to use it": "declare its kind (--column NAME=KIND) to use it",
    "add it to the missing tokens": "add it to the missing tokens (--missing TEXT)",
    "add them to the missing tokens": "add them to the missing tokens (--missing TEXT)",
}


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command: errors, an interrupt and a reader that has gone end as the exit codes say."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
            flush()  # a full disk behind standard output shows here, not after all was said to be well
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            _end("interrupted; nothing half-written stands under its final name", status=INTERRUPTED)
        except StillwatchError as exc:
            _trace(exc)
            _end(in_flags(str(exc)), exc.code)
        except OSError as exc:
            if exc.errno == errno.EPIPE:
                # The reader of our output has gone; that is its right.
                _forget_output()
                raise typer.Exit(0) from exc
            _forget_output()
            where = f"{exc.filename}: " if exc.filename else ""
            _trace(exc)
            _end(f"{where}{exc.strerror or exc}", SYSTEM)
        except MemoryError:
            _end("there is not enough memory for this. Use fewer rows or columns at once.", MEMORY)
        except Exception as exc:
            _trace(exc)
            _end(_bug(exc), BUG)

    return run


def spoken(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options --quiet and --verbose."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(*args: Any, quiet: bool, verbose: bool, **kwargs: Any) -> None:
        if quiet and verbose:
            raise typer.BadParameter("choose one of --quiet and --verbose.")
        with speaking(Volume.QUIET if quiet else Volume.VERBOSE if verbose else Volume.USUAL):
            command(*args, **kwargs)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=bool)
        for name, option in (
            ("quiet", typer.Option(False, "--quiet", "-q", help="No progress: results and errors only.")),
            (
                "verbose",
                typer.Option(
                    False, "--verbose", "-v", help="Also what goes on inside, and where an error comes from."
                ),
            ),
        )
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    return run


def in_flags(message: str) -> str:
    """Put a message of the library into the words of the command line."""
    for argument, flag in FLAGS.items():
        message = message.replace(argument, flag)
    return message


def _bug(exc: Exception) -> str:
    where = exc.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f" at {os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}" if where else ""
    return f"{type(exc).__name__}{place}: {exc}. This is a bug in Stillwatch; please report this line."


def _trace(exc: Exception) -> None:
    """With --verbose: where it came from."""
    if verbose():
        for line in "".join(traceback.format_exception(exc)).splitlines():
            indent = len(line) - len(line.lstrip())
            err().print(" " * indent + plain(line, 400), soft_wrap=True)


def _end(message: str, code: str = "", *, status: int = UNUSABLE) -> NoReturn:
    error(message, code)
    raise typer.Exit(status)


def _forget_output() -> None:
    """Send what is still in the buffer of standard output nowhere: Python would complain about it at exit."""
    with contextlib.suppress(io.UnsupportedOperation):  # somebody put another stream in its place
        descriptor = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
