"""`stillwatch`: from a table to a distilled detector, and to scores.

Exit codes: 0 done; 1 the data, the model or an option cannot be used (the message says why); 2 wrong usage; 3 `verify` found
a model that must not be trusted; 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from stillwatch import __version__
from stillwatch.cli import demo, distill, evaluate, inspect, score, verify
from stillwatch.cli.show import error
from stillwatch.errors import StillwatchError

app = typer.Typer(
    name="stillwatch",
    help="Distill a heavy anomaly detector into one small, safe file that scores raw rows in microseconds.",
    epilog="Exit codes: 0 done, 1 unusable data, model or option, 2 wrong usage, 3 model not to be trusted, "
    "130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo.demo, distill.distill, score.score, evaluate.evaluate, inspect.inspect, verify.verify):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"stillwatch {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Hold the options of the program itself."""


def run() -> None:
    """Run the command line; errors of ours end with a message and exit code 1, never with a stack trace."""
    try:
        app()
    except StillwatchError as exc:
        error(str(exc))
        sys.exit(1)
    except KeyboardInterrupt:
        error("interrupted; nothing half-written is left behind")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone; that is its right.
        sys.stderr.close()
        sys.exit(0)
