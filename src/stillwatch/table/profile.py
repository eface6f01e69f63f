"""What a column looks like: counted batch by batch, judged at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from stillwatch.table.timestamp import is_temporal
from stillwatch.table.values import (
    PAIRS,
    Kind,
    UnreadTypeError,
    ValueRules,
    decoded,
    is_bytes,
    is_span,
    is_text,
    shown,
    trim,
)

MOSTLY = 0.9  # text of which so many values are numbers was probably meant as a number column
ID_TEXT = 0.95  # share of distinct values from which text counts as an id
ID_WHOLE = 0.99  # the same for whole numbers, which more often differ by nature
ID_LEAST_ROWS = 50
FEW = 0.2  # share of ones up to which a column of 0 and 1 may be a label
MOST_DISTINCT = 100_000  # values remembered per column

_PROBE = 100  # values looked at before all others are

_DECIMAL_COMMA = r"^\s*[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?\s*$"
# Numbers and dates as people write them, which are not read as such: hints, no more.
_CURRENCY = r"[$€£¥]|USD|EUR|GBP|CHF|JPY"
_DIGITS = r"(?:[0-9]{1,3}(?:[,.'’\s\x{a0}\x{202f}][0-9]{3})+|[0-9]+)(?:[.,][0-9]+)?"
_NEARLY_NUMBER = rf"^[(\s]*[+\x{{2212}}-]?\s*(?:{_CURRENCY})?\s*[+\x{{2212}}-]?{_DIGITS}[\s\x{{a0}}]*(?:[%‰]|{_CURRENCY})?[)\s]*$"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[.]?"
_CLOCK = r"(?:[\sT,]+[0-9]{1,2}[:.][0-9]{2}.*)?\s*$"
_NEARLY_DATE = (
    rf"(?i)^\s*(?:[0-9]{{1,4}}([./-])[0-9]{{1,2}}[./-][0-9]{{1,4}}"
    rf"|[0-9]{{1,2}}[\s-]+{_MONTH}[\s-]+[0-9]{{2,4}}|{_MONTH}\s+[0-9]{{1,2}},?\s+[0-9]{{4}}){_CLOCK}"
)
_EPOCHS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_HINTED = 1_000  # texts looked at for a hint

_THOUSANDS = r"^\s*[+-]?[1-9][0-9]{0,2},[0-9]{3}\s*$"


class Judgement(NamedTuple):
    """What a column looks like.

    Attributes
    ----------
    aside
        why it should not be a feature; "" if it should.
    id_like
        whether that is because nearly all values differ.
    comma
        whether most values are numbers with a decimal comma.
    thousands
        whether all commas in numbers may as well set thousands apart, as in 1,500.
    point
        whether text holds a number with a decimal point.
    example
        the first value that is no number, for messages. It never stands in `reason`, which is stored with a model: it may be
        one person's.
    """

    kind: Kind
    reason: str
    aside: str = ""
    id_like: bool = False
    comma: bool = False
    thousands: bool = False
    point: bool = False
    example: str = ""


class ColumnProfile:
    """Running counts over one column."""

    def __init__(self, rules: ValueRules) -> None:
        self.rules = rules
        self.rows = self.numbers = self.others = self.commas = self.thousands = 0
        self.point = False
        self.stamps = 0  # points in time, of such a type or as text in ISO 8601; counted while all others are
        self.unread: str | None = None  # an Arrow type that no rule covers
        self.first_other, self.first_row = "", 0
        self.looked = self.nearly_numbers = self.nearly_dates = 0
        self.logical = True  # every value so far has the boolean type
        self.whole = True  # every number so far is whole and written without a point
        self.low, self.high = np.inf, -np.inf
        self.zero_one = True
        self.ones = 0
        self.words: set[str] | None = set()  # distinct texts in lower case; None: more than two
        self.distinct = DistinctCount()

    def add(self, array: pa.Array, first_row: int) -> None:
        """Count the values of the next batch, whose first row has this number."""
        self.rows += len(array)
        if self.unread or pt.is_null(array.type):
            return
        array = decoded(array)
        if is_temporal(array.type):
            self.others += len(array) - array.null_count
            self.stamps += len(array) - array.null_count
            self.logical = self.whole = False
            self.words = None
            return
        try:
            values, wrong = self.rules.numbers(array)
        except UnreadTypeError as exc:
            self.unread = str(exc)
            return
        self.logical &= bool(pt.is_boolean(array.type))
        numbers = values[~np.isnan(values)]
        if len(numbers):
            self._add_numbers(array, numbers)
        if wrong is not None:
            self._add_others(array, wrong, first_row)
        if is_text(array.type) and (wrong is not None or self.whole):
            missing = np.isnan(values) if wrong is None else np.isnan(values) & ~wrong
            counts = array.filter(pa.array(~missing)).value_counts()
            self.distinct.add(counts.field(0).to_pylist(), counts.field(1).to_numpy())
        elif self.whole:
            unique, tally = np.unique(numbers, return_counts=True)
            self.distinct.add(unique.tolist(), tally)

    def _add_numbers(self, array: pa.Array, numbers: NDArray[np.float64]) -> None:
        self.numbers += len(numbers)
        self.low, self.high = min(self.low, numbers.min()), max(self.high, numbers.max())
        if self.zero_one:
            self.zero_one = bool(((numbers == 0) | (numbers == 1)).all())
            self.ones += int((numbers == 1).sum())
        if self.whole:
            measured = pt.is_floating(array.type) or is_span(array.type)
            self.whole = not measured and bool((numbers == np.floor(numbers)).all())
        if is_text(array.type) and not is_bytes(array.type) and (self.whole or not self.point):
            marked = bool(pc.any(pc.match_substring(array, "," if self.rules.comma else ".")).as_py())
            self.whole &= not marked
            self.point |= marked

    def _add_others(self, array: pa.Array, wrong: NDArray[np.bool_], first_row: int) -> None:
        if not self.others:
            at = int(wrong.argmax())
            self.first_other, self.first_row = shown(array[at].as_py()), first_row + at
        others = array.filter(pa.array(wrong))
        if self.stamps == self.others:
            self.stamps += self._stamps(others)
        self.others += len(others)
        if not is_bytes(array.type):
            self.commas += pc.sum(pc.match_substring_regex(others, _DECIMAL_COMMA)).as_py()
            self.thousands += pc.sum(pc.match_substring_regex(others, _THOUSANDS)).as_py()
            self._look(others[: _HINTED - self.looked])
        if self.words is not None:
            self.words |= {trim(str(text)).lower() for text in others.unique().to_pylist()}
            if len(self.words) > 2:
                self.words = None

    def _look(self, others: pa.Array) -> None:
        self.looked += len(others)
        self.nearly_numbers += pc.sum(pc.match_substring_regex(others, _NEARLY_NUMBER), min_count=0).as_py()
        self.nearly_dates += pc.sum(pc.match_substring_regex(others, _NEARLY_DATE), min_count=0).as_py()

    def _hint(self) -> str:
        """What the texts nearly are, and how they have to be written to be read so; "" for ordinary texts."""
        if self.nearly_dates >= MOSTLY * max(1, self.looked):
            return "; most look like dates: write them as 2024-12-31 to use them as points in time"
        if self.nearly_numbers >= MOSTLY * max(1, self.looked):
            return (
                "; most look like numbers with a unit or marks: write them as 1234.5 to use them as numbers"
            )
        return ""

    def _few_ones(self, present: int) -> str:
        """A hint for what may be a label; "" for other booleans."""
        share = self.ones / present
        if not 0 < share <= FEW:
            return ""
        return f", {100 * share:.2g} % of them 1: if that marks an anomaly, declare it the label"

    def _epoch(self) -> str:
        """A hint for whole numbers that may count from 1970, if all are of the years 2001 to 2039; "" for others."""
        for unit, per_second in _EPOCHS.items():
            if self.whole and 1e9 * per_second <= self.low and self.high < 2.2e9 * per_second:
                advice = (
                    "declare it a timestamp" if unit == "microseconds" else "write them as 2024-12-31T12:00Z"
                )
                return f"; perhaps {unit} since 1970: {advice} to use them as points in time"
        return ""

    def _stamps(self, others: pa.Array) -> int:
        """Count texts that are ISO 8601, with dashes: what has slashes may mean day or month, and must be declared."""
        first = others[:_PROBE]
        for part in (first, others[_PROBE:]):
            _, wrong = self.rules.times(part)
            slashed = (
                False if is_bytes(part.type) else pc.any(pc.match_substring(part, "/"), min_count=0).as_py()
            )
            if wrong is not None or slashed:
                return 0
        return len(others)

    def judge(self) -> Judgement:
        """Kind of the column, and whether it should be set aside."""
        present = self.numbers + self.others
        if self.unread:
            aside = "that is not read: make it numbers or text to use it"
            return Judgement("category", f"holds {self.unread}", aside)
        if not present:
            return Judgement(
                "number", f"all {self.rows:,} values are missing", "there is nothing to learn from"
            )
        kind, reason = self._kind(present)
        if self.rows > present:
            reason += f", {self.rows - present:,} missing"
        judgement = Judgement(
            kind,
            reason,
            comma=self.commas > 0 and self.numbers + self.commas >= MOSTLY * present,
            thousands=self.thousands == self.commas,
            point=self.point,
            example=f"{self.first_other} at row {self.first_row:,}",
        )
        countable = kind == "category" or (kind == "number" and self.whole)
        least = ID_TEXT if kind == "category" else ID_WHOLE
        if countable and self.distinct.rows >= ID_LEAST_ROWS and self.distinct.share >= least:
            aside = f"{self.distinct} values differ, as in an id: declare its kind to use it"
            return judgement._replace(aside=aside, id_like=True)
        return judgement

    def _kind(self, present: int) -> tuple[Kind, str]:
        if self.logical:
            return "boolean", f"true or false{self._few_ones(present)}"
        if self.others == self.stamps == present:
            return "timestamp", f"all {present:,} values are points in time"
        if not self.others:
            if self.zero_one and self.low < self.high:
                return "boolean", f"only 0 and 1{self._few_ones(present)}"
            constant = f", always {self.low:g}" if self.low == self.high else self._epoch()
            return "number", f"all {present:,} values are numbers{constant}"
        if not self.numbers and self.words and any(self.words <= set(pair) for pair in PAIRS):
            return "boolean", "only " + " and ".join(shown(word) for word in sorted(self.words))
        if self.numbers >= MOSTLY * present:
            return "category", (
                f"text, though {self.numbers:,} of {present:,} values are numbers; the first other is at row "
                f"{self.first_row:,} (to use it as a number, clean these or add them to the missing tokens)"
            )
        return "category", f"text, {self.distinct.number} distinct values{self._hint()}"


class DistinctCount:
    """Distinct values of a stream, in bounded memory.

    Exact up to `MOST_DISTINCT`. Beyond, later values count as new once per batch, while it is counted exactly
    how often the remembered ones come again; the lower of the two shares is taken, so that a repeating column
    is not taken for an id.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._seen: set[int] = set()
        self._rows_of_seen = 0
        self._at_most = 0

    def add(self, values: Iterable[object], counts: NDArray[np.int64]) -> None:
        """Add the distinct values of a batch, and how often each stands in it."""
        hashes = [hash(value) for value in values]
        new = set(hashes) - self._seen
        self.rows += int(counts.sum())
        self._at_most += len(new)
        if len(self._seen) < MOST_DISTINCT:
            self._seen |= new
            self._rows_of_seen += int(counts.sum())
        else:
            known = np.fromiter((h in self._seen for h in hashes), dtype=np.bool_, count=len(hashes))
            self._rows_of_seen += int(counts[known].sum())

    @property
    def share(self) -> float:
        """Share of distinct values among all, in (0, 1]; 0 for no rows."""
        if not self.rows:
            return 0.0
        return min(self._at_most / self.rows, len(self._seen) / self._rows_of_seen)

    @property
    def number(self) -> str:
        """Number of distinct values, for people."""
        exact = len(self._seen) == self._at_most
        return f"{self._at_most:,}" if exact else f"more than {len(self._seen):,}"

    def __str__(self) -> str:
        return f"{self.number} of {self.rows:,}"
