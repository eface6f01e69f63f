from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from stillwatch.artifact.parity import Verification
from stillwatch.cli import options
from stillwatch.cli.show import result
from stillwatch.evaluation.inert import plain


def verify(
    model: options.Model,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST",
            help="Digest that the model must have, as `distill` printed it.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Check a model folder: nothing damaged, nothing unsafe, and scores as they were.

    Digests, sizes, allowed operators and limits are checked, and the stored golden rows are scored again. Digests find damage,
    not forgery: only `--expect`, with a digest that came by another way, tells whether it is the model you mean.

    Exit code 3 where a check fails.
    """
    from stillwatch.artifact.parity import verify as run

    found = run(model, expect=expect)
    result(found, _table(found, expected=expect is not None), json=json)
    if not found.ok:
        raise typer.Exit(3)


def _table(found: Verification, *, expected: bool) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    for check in found.checks:
        mark, style = {True: ("ok", "green"), False: ("FAILED", "bold red"), None: ("skipped", "dim")}[
            check.ok
        ]
        table.add_row(Text(mark, style=style), check.name, Text(plain(check.detail, 400), overflow="fold"))
    if found.extra:
        table.add_row(
            Text("note", style="yellow"), "extra files", Text(", ".join(found.extra[:20]) + " (never opened)")
        )
    table.add_row()
    whole = "This is the model you expect, whole and safe to load." if expected else "Whole and safe to load."
    verdict = Text(whole, style="green") if found.ok else Text("Do not use this model.", style="bold red")
    table.add_row("", "", verdict)
    return table
