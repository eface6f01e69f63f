"""What each column is: kind, role, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from stillwatch.errors import SchemaError, TableError, nearest
from stillwatch.table.profile import ColumnProfile, Judgement
from stillwatch.table.timestamp import zone_of
from stillwatch.table.values import MISSING_TOKENS, DecimalMark, Kind, ValueRules, shown

if TYPE_CHECKING:
    from stillwatch.table.read import Source

__all__ = ["MISSING_TOKENS", "Column", "DecimalMark", "Kind", "Role", "Schema", "infer_schema"]

Role = Literal["feature", "label", "known", "key", "ignore"]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column.

    Attributes
    ----------
    kind
        "number", "category" (text from a set), "boolean" (true or false, or the numbers 0 and 1) or "timestamp".
    role
        "feature" (enters the model), "label" (1 = anomaly; it evaluates), "known" (1 = confirmed anomaly, 0 = confirmed
        normal, nothing = not known; it teaches), "key" (goes along to the scores) or "ignore".
    reason
        why kind and role are what they are, in one plain sentence.
    zone
        of a timestamp column: where values are local that name no zone themselves, such as "Europe/Zurich"; "": UTC.
    """

    name: str
    kind: Kind
    role: Role = "feature"
    reason: str = ""
    zone: str = ""


class Schema(
    msgspec.Struct, frozen=True, kw_only=True, dict=True
):  # dict: what follows from the columns is kept
    """The columns of a table, in order, and how its text is to be read.

    Attributes
    ----------
    missing
        texts that mean a missing value.
    decimal
        mark in numbers that are written as text, "." or ",".

    Raises
    ------
    SchemaError
        a name stands twice, a kind, role or zone is unknown, there are two labels or two columns of what is known, or no
        feature column is left.

    Examples
    --------
    >>> schema = Schema(columns=(Column(name="amount", kind="number"), Column(name="city", kind="category")))
    >>> schema.numbers, schema.texts
    (('amount',), ('city',))
    """

    columns: tuple[Column, ...]
    missing: tuple[str, ...] = MISSING_TOKENS
    decimal: DecimalMark = "."

    def __post_init__(self) -> None:
        refuse_duplicates(column.name for column in self.columns)
        for column in self.columns:
            _check_choice(f"column {shown(column.name)}: kind", column.kind, get_args(Kind))
            _check_choice(f"column {shown(column.name)}: role", column.role, get_args(Role))
            _check_zone(column)
        _check_choice("decimal mark", self.decimal, get_args(DecimalMark))
        for role in ("label", "known"):
            names = [column.name for column in self.columns if column.role == role]
            if len(names) > 1:
                raise SchemaError(
                    f"a table has one {role} column, but {listed(names)} are declared. Choose one."
                )
        if not self.features:
            why = "; ".join(
                f"{shown(column.name)} is {column.role}{f' ({column.reason})' if column.reason else ''}"
                for column in self.columns[:4]
            )
            raise SchemaError(
                f"no feature column is left of {len(self.columns)}{f': {why}' if why else ''}. "
                "Declare the kind of a column that was set aside, or ignore fewer."
            )

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """Columns that go into the model, in order."""
        return tuple(column for column in self.columns if column.role == "feature")

    @property
    def label(self) -> str | None:
        """Name of the label column."""
        return next((column.name for column in self.columns if column.role == "label"), None)

    @property
    def known(self) -> str | None:
        """Name of the column that tells which rows are confirmed anomalies and which are confirmed normal."""
        return next((column.name for column in self.columns if column.role == "known"), None)

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the columns that go along to the scores."""
        return tuple(column.name for column in self.columns if column.role == "key")

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Names of the feature columns that are read as numbers: kind number or boolean."""
        return tuple(column.name for column in self.features if column.kind in {"number", "boolean"})

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Names of the feature columns that are read as text: kind category."""
        return tuple(column.name for column in self.features if column.kind == "category")

    @cached_property
    def times(self) -> tuple[str, ...]:
        """Names of the feature columns of kind timestamp."""
        return tuple(column.name for column in self.features if column.kind == "timestamp")

    def with_roles(
        self,
        *,
        label: str | None = None,
        known: str | None = None,
        feature: Iterable[str] = (),
        ignore: Iterable[str] = (),
        key: Iterable[str] = (),
    ) -> Schema:
        """Give columns other roles. Those not named keep theirs; a former label, or column of what is known, is ignored.

        Raises
        ------
        SchemaError
            a name is unknown or stands in two roles, or no feature column is left.
        """
        roles: dict[str, Role] = {}
        declared: dict[Role, tuple[str, ...]] = {
            "label": _names(label),
            "known": _names(known),
            "feature": _names(feature),
            "ignore": _names(ignore),
            "key": _names(key),
        }
        for role, names in declared.items():
            for name in names:
                if roles.setdefault(name, role) != role:
                    raise SchemaError(
                        f"column {shown(name)} is declared both {roles[name]} and {role}. Choose one."
                    )
        refuse_unknown(roles, self._names)
        columns = list(self.columns)
        for i, column in enumerate(columns):
            if column.name in roles:
                role = roles[column.name]
                columns[i] = msgspec.structs.replace(column, role=role, reason=f"declared as {role}")
            elif column.role in {"label", "known"} and declared[column.role]:
                reason = "was the label before" if column.role == "label" else "said what is known before"
                columns[i] = msgspec.structs.replace(column, role="ignore", reason=reason)
        return msgspec.structs.replace(self, columns=tuple(columns))

    def with_kinds(self, kinds: Mapping[str, Kind]) -> Schema:
        """Give columns other kinds; roles stay.

        Raises
        ------
        SchemaError
            a name or a kind is unknown.
        """
        refuse_unknown(kinds, self._names)
        columns = list(self.columns)
        for i, column in enumerate(columns):
            if kind := kinds.get(column.name):
                zone = column.zone if kind == "timestamp" else ""
                columns[i] = msgspec.structs.replace(
                    column, kind=kind, reason=f"declared as {kind}", zone=zone
                )
        return msgspec.structs.replace(self, columns=tuple(columns))

    def with_zones(self, zones: Mapping[str, str]) -> Schema:
        """Say in which zone timestamps are that name none themselves, by column; "" = UTC.

        Raises
        ------
        SchemaError
            a name or a zone is unknown, or the column is no timestamp.
        """
        refuse_unknown(zones, self._names)
        columns = tuple(
            msgspec.structs.replace(column, zone=zones.get(column.name, column.zone))
            for column in self.columns
        )
        return msgspec.structs.replace(self, columns=columns)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def infer_schema(
    source: Source,
    *,
    label: str | None = None,
    known: str | None = None,
    ignore: Iterable[str] = (),
    key: Iterable[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    missing: Iterable[str] = MISSING_TOKENS,
    decimal: DecimalMark | None = None,
) -> Schema:
    """Kinds and roles of a table's columns, from one pass over its rows.

    Columns that are missing throughout, of a type that is not read (lists, objects), or, where columns have
    names, whose values nearly all differ (ids) are set aside with a reason. Constant columns stay features.

    Parameters
    ----------
    label, known, ignore, key
        names of the columns in these roles.
    kinds
        kinds that the caller knows better; such a column is never set aside.
    missing, decimal
        see `Schema`. The decimal mark is found out where it is None: the comma, where some column holds numbers that
        only a decimal comma explains and no text holds a number with a point.

    Raises
    ------
    SchemaError
        a name or a kind is unknown, no feature column is left, or a column may hold numbers with a decimal comma
        while that is not certain, or `decimal` is the point.
    TableError
        the table has no rows, or cannot be read.
    """
    kinds, missing = dict(kinds or {}), _names(missing)
    ignore, key = _names(ignore), _names(key)
    aside = {*ignore, *key, *_names(label), *_names(known)}
    refuse_unknown((*kinds, *aside), source.names)
    found = _judgements(source, ValueRules(missing, decimal or "."))
    commas = [name for name, column in found.items() if column.comma and name not in {*kinds, *aside}]
    certain = any(not found[name].thousands for name in commas)
    if decimal is None and certain and not any(column.point for column in found.values()):
        decimal, commas = ",", []
        found = _judgements(source, ValueRules(missing, decimal))
    if commas:
        name = commas[0]
        raise SchemaError(
            f"column {shown(name)} holds numbers with a decimal comma (first: {found[name].example}). "
            f"Declare decimal=',', or the kind of {listed(commas)}: 'category' if these are no numbers."
        )
    columns = []
    for name, column in found.items():
        why = "" if name in kinds or (column.id_like and not source.named) else column.aside
        columns.append(
            Column(
                name=name,
                kind=column.kind,
                role="ignore" if why else "feature",
                reason=f"{column.reason}; {why}" if why else column.reason,
            )
        )
    schema = Schema(columns=tuple(columns), missing=missing, decimal=decimal or ".")
    return schema.with_kinds(kinds).with_roles(label=label, known=known, ignore=ignore, key=key)


def _judgements(source: Source, rules: ValueRules) -> dict[str, Judgement]:
    profiles = {name: ColumnProfile(rules) for name in source.names}
    rows = 0
    for batch in source.batches():
        for name, profile in profiles.items():
            profile.add(batch.column(name), first_row=rows + 1)
        rows += batch.num_rows
    if not rows:
        raise TableError(f"{source.description} has no rows; a schema is inferred from at least one.")
    return {name: profile.judge() for name, profile in profiles.items()}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End a sentence about an unknown name: with the nearest known name, or a full stop."""
    near = nearest(name, known)
    return "." if near is None else f"; did you mean {shown(near)}?"


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names for a message; a long list is cut."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + more


def refuse_duplicates(names: Iterable[str]) -> None:
    """Raise SchemaError where a name stands twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SchemaError(
            f"column names stand more than once: {listed(twice)}. Give each column its own name."
        )


def refuse_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise SchemaError, with the nearest match, where a name is not among the known ones."""
    known = list(known)
    for name in names:
        if name not in known:
            raise SchemaError(
                f"there is no column {shown(name)}{did_you_mean(name, known)} "
                f"The table has {len(known):,}: {listed(known)}."
            )


def _names(names: str | Iterable[str] | None) -> tuple[str, ...]:
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)


def _check_choice(what: str, choice: str, choices: tuple[str, ...]) -> None:
    if choice not in choices:
        raise SchemaError(f"{what} {shown(choice)} is unknown. Use one of {listed(choices)}.")


def _check_zone(column: Column) -> None:
    if not column.zone:
        return
    if column.kind != "timestamp":
        raise SchemaError(
            f"column {shown(column.name)}: a zone belongs to a timestamp, but its kind is {column.kind}."
        )
    try:
        zone_of(column.zone)
    except ValueError as exc:
        raise SchemaError(
            f"column {shown(column.name)}: time zone {shown(column.zone)} is unknown here. "
            "Use a name of the IANA database, such as 'Europe/Zurich'; `pip install tzdata` brings it where it is not."
        ) from exc
