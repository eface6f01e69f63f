"""Options that several commands share."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from stillwatch.calibration.budget import budget_rate
from stillwatch.cli.show import note
from stillwatch.errors import InputError, nearest
from stillwatch.scores import RESULTS
from stillwatch.table.read import Source, open_source, paths_of
from stillwatch.table.schema import MISSING_TOKENS, DecimalMark, Kind
from stillwatch.table.standard_input import DASH

if TYPE_CHECKING:
    from stillwatch.distillation.search import Budget
    from stillwatch.scale import Engine

_TAB = {"tab": "\t", "\\t": "\t"}


class Decimal(StrEnum):
    """Decimal marks."""

    POINT = "."
    COMMA = ","


def _share(rate: float | None) -> float | None:
    if rate is not None and not 0 < rate < 1:
        raise typer.BadParameter(f"{rate:g}: expected a share of normal rows between 0 and 1, such as 0.01.")
    return rate


def _share_of_alarms(fdr: float | None) -> float | None:
    if fdr is not None and not 0 < fdr < 1:
        raise typer.BadParameter(f"{fdr:g}: expected a share of alarms between 0 and 1, such as 0.1.")
    return fdr


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
Known = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column that is 1 for a confirmed anomaly, 0 for a confirmed normal row, and empty for all others. It teaches.",
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
    typer.Option(
        metavar="NAME",
        help="Encoding of a text file, such as latin-2.",
        show_default="found out: utf-8, utf-16 with its mark, or cp1252",
    ),
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
AlertsPerDay = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="Instead of --alert-rate: false alarms a day that you can look into; needs --rows-per-second.",
        show_default=False,
    ),
]
RowsPerSecond = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER", help="Rows that come in use, on average over the day.", show_default=False
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="COLUMN",
        help="Compare rows with their own group: the model was distilled with --calibrate-by COLUMN.",
        show_default=False,
    ),
]
EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="Who does the heavy work: local (processes of this machine) or ray.",
        show_default="what is worth it",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="NUMBER",
        help="How many at once; 1: this process alone.",
        min=1,
        show_default="as many as there are cores",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="With --engine ray: a cluster that runs already, instead of a Ray that is started on this machine.",
        show_default=False,
    ),
]
Fdr = Annotated[
    float | None,
    typer.Option(
        "--fdr",
        metavar="SHARE",
        help="Instead of a rate: share of the alarms of this whole batch that may be false (Benjamini-Hochberg).",
        show_default=False,
        callback=_share_of_alarms,
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
_BUDGET = "Budget: several students are trained, and the best within it is kept"
LatencyUs = Annotated[
    float | None,
    typer.Option(
        "--latency-us",
        metavar="NUMBER",
        help="Most microseconds for one row, by onnxruntime on one core of this machine.",
        show_default=False,
        rich_help_panel=_BUDGET,
    ),
]
SizeKb = Annotated[
    float | None,
    typer.Option(
        "--size-kb",
        metavar="NUMBER",
        help="Most kilobytes (of 1,000 bytes) of model.onnx.",
        show_default=False,
        rich_help_panel=_BUDGET,
    ),
]
LeastFidelity = Annotated[
    float | None,
    typer.Option(
        "--fidelity",
        metavar="NUMBER",
        help="Least rank agreement with the teacher, 1 at most: the quickest student that reaches it is enough.",
        show_default=False,
        rich_help_panel=_BUDGET,
    ),
]
Costs = Annotated[
    Path | None,
    typer.Option(
        "--costs",
        metavar="FILE",
        help="report.json of an earlier search: its latencies are used instead of a clock, so that the same student is chosen.",
        show_default=False,
        rich_help_panel=_BUDGET,
    ),
]
_STREAM = "Stream"
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Score lines as they come: NDJSON, or CSV with a header, to NDJSON.",
        rich_help_panel=_STREAM,
    ),
]
DeadLetters = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where lines go that cannot be scored: number and reason, as NDJSON; a file is added to.",
        show_default="standard error",
        rich_help_panel=_STREAM,
    ),
]
Raw = Annotated[
    bool,
    typer.Option("--raw", help="Put the line itself into its dead letter, too.", rich_help_panel=_STREAM),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on behind the event that --out ends with: by its key, or by lines if the model has no key columns.",
        rich_help_panel=_STREAM,
    ),
]
AbsentIsMissing = Annotated[
    bool,
    typer.Option(
        "--absent-is-missing",
        help="A key that an object lacks is a missing value; otherwise it is an error.",
        rich_help_panel=_STREAM,
    ),
]
Count = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER",
        min=1,
        help="Most events scored at once.",
        show_default="1024",
        rich_help_panel=_STREAM,
    ),
]
WaitMs = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER",
        min=0,
        help="Milliseconds that an event waits for others.",
        show_default="50",
        rich_help_panel=_STREAM,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document on standard output.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what stands at the target.")]


def opened(data: list[str], delimiter: str | None = None, encoding: str | None = None) -> Source:
    """Open what a command was given, once: one path may be a glob, a folder or "-", several are a list."""
    one = data[0] if len(data) == 1 else data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnicodeWarning)  # the notes say it
        source = open_source(one, delimiter=separator(delimiter), encoding=encoding)
    for text in source.notes:
        note(text)
    return source


def spare_the_data(data: list[str], *targets: str | Path | None) -> None:
    """Refuse to write to a file that the data is read from, whatever it is called and even with --overwrite.

    Raises
    ------
    InputError
        a target is one of these files.
    """
    sources = paths_of(data[0] if len(data) == 1 else data) if DASH not in data else None
    for target in [target for target in targets if target is not None]:
        for path, _ in sources or ():
            if os.path.exists(target) and os.path.exists(path) and os.path.samefile(path, target):
                raise InputError(f"{target} is the data itself. Name another file to write to.")


def separator(delimiter: str | None) -> str | None:
    """What --delimiter means."""
    return _TAB.get(delimiter or "", delimiter)


def student_budget(
    latency_us: float | None, size_kb: float | None, fidelity: float | None, costs: Path | None
) -> Budget | None:
    """The budget that the options give; None where none was given."""
    if latency_us is None and size_kb is None and fidelity is None and costs is None:
        return None
    from stillwatch.distillation.search import Budget

    return Budget(latency_us, size_kb, fidelity, None if costs is None else _recorded(costs))


def _recorded(path: Path) -> dict[str, float]:
    """Latencies that a report holds, by the name of the student."""
    from stillwatch.evaluation.report import decode_report

    try:
        report = decode_report(path.read_bytes())
    except OSError as exc:
        raise InputError(f"--costs {path}: the file cannot be read ({exc.strerror}).") from exc
    found = {f"{one.family} {one.size}": one.latency_us for one in report.search if one.latency_us}
    if not found:
        raise InputError(
            f"--costs {path}: this report is of a distillation without a budget; it holds no costs."
        )
    return found


def chosen_rate(
    alert_rate: float | None,
    alerts_per_day: float | None,
    rows_per_second: float | None,
    fdr: float | None,
    by: str | None,
) -> float | None:
    """The alert rate that the options ask for; None: the model's own, or none with --fdr.

    Raises
    ------
    typer.BadParameter
        they contradict each other.
    """
    if sum(value is not None for value in (alert_rate, alerts_per_day, fdr)) > 1:
        raise typer.BadParameter("choose one of --alert-rate, --alerts-per-day and --fdr.")
    if fdr is not None and by is not None:
        raise typer.BadParameter("choose one of --fdr and --by.")
    if alerts_per_day is None:
        return alert_rate
    if rows_per_second is None:
        raise typer.BadParameter("--alerts-per-day needs --rows-per-second.")
    return budget_rate(alerts_per_day, rows_per_second)


@contextmanager
def chosen_engine(engine: str | None, workers: int | None, address: str | None) -> Iterator[Engine | None]:
    """The engine that the options ask for, open; None: none of them was given."""
    if (engine, workers, address) == (None, None, None):
        yield None
        return
    from stillwatch.scale import engine_named

    # Ray tells of workers that died on standard output, which is for results.
    with (
        engine_named(engine or "local", workers=workers, address=address) as found,
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
    ):
        yield found


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
            near = nearest(kind, get_args(Kind)) if name else None
            hint = f" Did you mean {name}={near}?" if near else ""
            raise InputError(
                f"--column {pair!r}: expected NAME=KIND, the kind one of {', '.join(get_args(Kind))}.{hint}"
            )
        if kinds.setdefault(name, cast(Kind, kind)) != kind:
            raise InputError(f"--column: {name!r} is declared both {kinds[name]} and {kind}. Choose one.")
    return kinds
