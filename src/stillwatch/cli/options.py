"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, cast, get_args

import typer

from stillwatch.errors import InputError
from stillwatch.table.read import Source, open_source
from stillwatch.table.schema import MISSING_TOKENS, DecimalMark, Kind

_TAB = {"tab": "\t", "\\t": "\t"}

RESULTS = ("score", "p_value", "alert")
"""Columns that `score` adds to the key columns."""


class Decimal(StrEnum):
    """Decimal marks."""

    POINT = "."
    COMMA = ","


def _share(rate: float | None) -> float | None:
    if rate is not None and not 0 < rate < 1:
        raise typer.BadParameter(f"{rate:g}: expected a share of normal rows between 0 and 1, such as 0.01.")
    return rate


def _keys(names: list[str]) -> list[str]:
    for name in names:
        if name in RESULTS:
            raise typer.BadParameter(f"{name!r} is a column that `score` adds. Rename the column.")
    return names


Data = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA",
        help="Table: CSV, TSV or NDJSON (.gz too), Parquet or Arrow. One file, several, a folder, a glob in quotes, "
        "or - for standard input.",
        show_default=False,
    ),
]
DataOrModel = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA|MODEL", help="Table, as for `distill`; or a model folder.", show_default=False
    ),
]
Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Model folder that `distill` wrote.", show_default=False),
]
Label = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column that is 1 for an anomaly and 0 for a normal row. It evaluates; the model never sees it.",
        show_default=False,
    ),
]
Ignore = Annotated[
    list[str],
    typer.Option(metavar="COLUMN", help="Column to leave out; repeatable.", show_default=False),
]
Key = Annotated[
    list[str],
    typer.Option(
        metavar="COLUMN",
        help="Column to copy to the scores, such as an id; the model never sees it; repeatable.",
        show_default=False,
        callback=_keys,
    ),
]
Kinds = Annotated[
    list[str],
    typer.Option(
        "--column",
        metavar="NAME=KIND",
        help=f"Read a column as another kind ({', '.join(get_args(Kind))}); repeatable.",
        show_default=False,
    ),
]
DecimalOption = Annotated[
    Decimal | None,
    typer.Option(
        "--decimal", help="Decimal mark of numbers in text: a point or a comma.", show_default="found out"
    ),
]
Missing = Annotated[
    list[str],
    typer.Option(
        metavar="TEXT",
        help="Text that means a missing value, besides the usual ones (empty, ?, NA, NaN, null); repeatable.",
        show_default=False,
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        metavar="CHARACTER",
        help="What stands between the fields of a text file; `tab` is a tab.",
        show_default="found out",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Encoding of a text file, such as cp1252.", show_default="utf-8"),
]
AlertRate = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of normal rows that may raise an alarm.",
        show_default="the model's",
        callback=_share,
    ),
]
DefaultAlertRate = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Share of normal rows that may raise an alarm; can be chosen anew whenever rows are scored.",
        callback=_share,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document on standard output.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what stands at the target.")]


def opened(data: list[str], delimiter: str | None = None, encoding: str | None = None) -> Source:
    """Open what a command was given, once: one path may be a glob, a folder or "-", several are a list."""
    one = data[0] if len(data) == 1 else data
    return open_source(one, delimiter=_TAB.get(delimiter or "", delimiter), encoding=encoding)


def missing_tokens(more: list[str]) -> tuple[str, ...]:
    """The usual missing tokens and those of the user, each once."""
    return tuple(dict.fromkeys((*MISSING_TOKENS, *more)))


def decimal_mark(mark: Decimal | None) -> DecimalMark | None:
    """The mark as the library takes it."""
    return None if mark is None else "," if mark is Decimal.COMMA else "."


def parse_kinds(pairs: list[str]) -> dict[str, Kind]:
    """`NAME=KIND` pairs to a dict; the name may hold an equals sign.

    Raises
    ------
    InputError
        a pair has no equals sign, the kind is unknown, or a name has two kinds.
    """
    kinds: dict[str, Kind] = {}
    for pair in pairs:
        name, _, kind = pair.rpartition("=")
        if not name or kind not in get_args(Kind):
            raise InputError(
                f"--column {pair!r}: expected NAME=KIND, the kind one of {', '.join(get_args(Kind))}."
            )
        if kinds.setdefault(name, cast(Kind, kind)) != kind:
            raise InputError(f"--column: {name!r} is declared both {kinds[name]} and {kind}. Choose one.")
    return kinds
