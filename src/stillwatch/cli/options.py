"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, cast, get_args

import typer

from stillwatch.errors import InputError
from stillwatch.table.schema import Kind

Data = Annotated[
    list[str],
    typer.Argument(
        help="CSV (.gz too) or Parquet: one file, several, or a glob in quotes.", show_default=False
    ),
]
Model = Annotated[str, typer.Argument(help="Folder that `stillwatch distill` wrote.", show_default=False)]
Label = Annotated[
    str | None,
    typer.Option(help="Column that is 1 for an anomaly and 0 for a normal row.", show_default=False),
]
Ignore = Annotated[
    list[str], typer.Option(help="Column to leave out; give it once for each column.", show_default=False)
]
Key = Annotated[
    list[str],
    typer.Option(help="Column to copy to the scores, such as an id; repeatable.", show_default=False),
]
Kinds = Annotated[
    list[str],
    typer.Option(
        "--column",
        metavar="NAME=KIND",
        help="Read a column as number, category or boolean; repeatable.",
        show_default=False,
    ),
]
AlertRate = Annotated[
    float | None,
    typer.Option(
        help="Share of normal rows that may raise an alarm.  [default: the model's]", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what stands at the target.")]


def one_or_many(data: list[str]) -> str | list[str]:
    """One path may be a glob; several are a list."""
    return data[0] if len(data) == 1 else data


def parse_kinds(pairs: list[str]) -> dict[str, Kind]:
    """`NAME=KIND` pairs to a dict; the name may hold an equals sign.

    Raises
    ------
    InputError
        a pair has no equals sign, or the kind is unknown.
    """
    kinds: dict[str, Kind] = {}
    for pair in pairs:
        name, _, kind = pair.rpartition("=")
        if not name or kind not in get_args(Kind):
            raise InputError(
                f"--column {pair!r}: expected NAME=KIND, the kind one of {', '.join(get_args(Kind))}."
            )
        kinds[name] = cast(Kind, kind)
    return kinds
