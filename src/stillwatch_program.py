"""`stillwatch` as a program.

It stands outside of the package because importing that takes a third of a second, and Ctrl-C may come in it, too. An exception
there is no help: extensions make other errors of it, or crash. As nothing has begun by then, the process just ends.
"""

from __future__ import annotations

import os
import signal


def run() -> None:
    """Run the command line; its exit codes stand in `stillwatch.cli.main`."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # otherwise whoever started us wants no interrupts
        signal.signal(signal.SIGINT, _end)
    from stillwatch.cli.main import run as command_line

    signal.signal(signal.SIGINT, usual)
    command_line()


def _end(*_: object) -> None:
    try:
        os.write(2, b"error: interrupted; nothing had begun\n")
    finally:
        os._exit(130)
