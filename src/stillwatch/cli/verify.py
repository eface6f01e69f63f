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
        str | None, typer.Option(help="Digest that the model must have.", show_default=False)
    ] = None,
    json: options.Json = False,
) -> None:
    """Check a model folder: digests, allowed operators, limits, and that its golden rows score as stored."""
    from stillwatch.artifact.parity import verify as run

    found = run(model, expect=expect)
    result(found, _table(found), json=json)
    if not found.ok:
        raise typer.Exit(3)


def _table(found: Verification) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    for check in found.checks:
        mark, style = {True: ("ok", "green"), False: ("FAILED", "bold red"), None: ("skipped", "dim")}[
            check.ok
        ]
        table.add_row(Text(mark, style=style), check.name, Text(plain(check.detail, 400)))
    if found.extra:
        table.add_row(
            Text("note", style="yellow"), "extra files", Text(", ".join(found.extra[:20]) + " (never opened)")
        )
    table.add_row()
    verdict = (
        Text("This model can be trusted.", style="green")
        if found.ok
        else Text("Do not use this model.", style="bold red")
    )
    table.add_row("", "", verdict)
    return table
