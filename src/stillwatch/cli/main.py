"""`stillwatch`: from a table to a distilled detector, and to scores.

Exit codes: 0 done; 1 the data, the model or an option cannot be used (the message says why); 2 wrong usage; 3 `verify` found
a model that must not be trusted; 4 `drift` found that the data has changed; 5 `score` left out what it could not read;
130 interrupted.
"""

from __future__ import annotations

import os
import sys

import typer

from stillwatch import __version__
from stillwatch.cli import (
    demo,
    diff,
    distill,
    drift,
    evaluate,
    export,
    inspect,
    recalibrate,
    score,
    serve,
    verify,
)
from stillwatch.cli.guard import guarded, spoken

app = typer.Typer(
    name="stillwatch",
    epilog="Exit codes: 0 done; 1 data, model or option cannot be used; 2 wrong usage; 3 `verify` found a model that "
    "must not be trusted; 4 `drift` found a change; 5 `score` left out what it could not read; 130 interrupted. "
    "Codes such as [SW12] behind an error are explained in docs/errors.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo.demo,
    distill.distill,
    score.score,
    evaluate.evaluate,
    drift.drift,
    inspect.inspect,
    diff.diff,
    recalibrate.recalibrate,
    verify.verify,
    export.export,
):
    app.command()(spoken(guarded(command)))
app.command()(guarded(serve.serve))  # its log is its progress, and it has a --quiet of its own


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
    """Distill a heavy anomaly detector into one small, safe file that scores raw rows in microseconds.

    Try `stillwatch demo`. On a table of your own: `inspect` shows how it will be read, `distill` makes a model folder from it,
    and `score` gives every row a score, a p-value and an alert.
    """


def run() -> None:
    """Run the command line."""
    # A service may start us with its streams closed; Python then has none at all.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - open for as long as the program runs
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    try:
        guarded(app)()  # help and version are not commands, and may meet a full disk as well
    except typer.Exit as exc:
        sys.exit(exc.exit_code)
