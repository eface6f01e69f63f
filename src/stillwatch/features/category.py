"""Categories: one-hot over the frequent values, and a code each for rare, unseen and missing ones.

A value seen fewer than 5 times never enters the model (privacy); it is coded as unseen, in training as in use, and so the
model has met the unseen before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.graph import Graph

MOST_FREQUENT = 64  # values of a column that get a code of their own
LEAST_SEEN = 5  # a value seen less often than this is never stored


@dataclass(frozen=True)
class Categories:
    """Fitted codes of the category columns.

    Attributes
    ----------
    frequent
        per column, the values with a code of their own, 0, 1, ...
    rare
        per column, the other values seen `LEAST_SEEN` times or more; they share the code len(frequent).
    missing
        texts that mean a missing value; code len(frequent) + 1. Everything else is unseen, len(frequent) + 2.
    weight
        (d,) step of each one-hot feature.
    """

    frequent: tuple[tuple[str, ...], ...]
    rare: tuple[tuple[str, ...], ...]
    missing: tuple[str, ...]
    weight: NDArray[np.float32]

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of codes of each column."""
        return tuple(len(values) + 3 for values in self.frequent)

    def known(self) -> tuple[tuple[str, ...], ...]:
        """Per column, every value that is neither unseen nor missing."""
        return tuple(a + b for a, b in zip(self.frequent, self.rare, strict=True))

    def codes(self, texts: NDArray[np.object_]) -> NDArray[np.int64]:
        """(n, m) code of every value."""
        codes = np.empty(texts.shape, dtype=np.int64)
        for j, table in enumerate(self._tables()):
            unseen = self.widths[j] - 1
            codes[:, j] = [table.get(value, unseen) for value in texts[:, j]]
        return codes

    def one_hot(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, d) weighted one-hot features."""
        starts = np.cumsum((0, *self.widths[:-1]))
        hot = np.zeros((len(codes), sum(self.widths)), dtype=np.float32)
        np.put_along_axis(hot, codes + starts, np.float32(1), axis=1)
        return hot * self.weight

    def write(self, graph: Graph, txt: str) -> str:
        """Put the same steps into a graph."""
        columns = (
            graph.add_many("Split", txt, outputs=len(self.frequent), axis=1)
            if len(self.frequent) > 1
            else (txt,)
        )
        coded = [
            graph.add(
                "LabelEncoder",
                column,
                domain="ai.onnx.ml",
                keys_strings=list(table),
                values_int64s=list(table.values()),
                default_int64=self.widths[j] - 1,
            )
            for j, (column, table) in enumerate(zip(columns, self._tables(), strict=True))
        ]
        off_on = graph.constant([0.0, 1.0])
        hot = [
            graph.add("OneHot", codes, graph.constant(width, np.int64), off_on, axis=-1)
            for codes, width in zip(coded, self.widths, strict=True)
        ]
        together = graph.add("Concat", *hot, axis=2) if len(hot) > 1 else hot[0]
        flat = graph.add("Reshape", together, graph.constant([-1, sum(self.widths)], np.int64))
        return graph.add("Mul", flat, graph.constant(self.weight))

    def _tables(self) -> list[dict[str, int]]:
        tables = []
        for frequent, rare in zip(self.frequent, self.rare, strict=True):
            table = {value: code for code, value in enumerate(frequent)}
            table.update(dict.fromkeys(rare, len(frequent)))
            # A missing token counts as missing even where a plain client of the graph forgot to blank it.
            table.update({token: len(frequent) + 1 for token in self.missing})
            tables.append(table)
        return tables


def fit_categories(texts: NDArray[np.object_], missing: tuple[str, ...]) -> Categories:
    """Codes of (n, m) texts, "" = missing."""
    frequent, rare, weights = [], [], []
    for column in texts.T:
        counts = Counter(column.tolist())
        blank = counts.pop("", 0)
        known = [(v, c) for v, c in counts.items() if c >= LEAST_SEEN]
        known.sort(key=lambda pair: (-pair[1], pair[0]))
        frequent.append(tuple(v for v, _ in known[:MOST_FREQUENT]))
        rare.append(tuple(v for v, _ in known[MOST_FREQUENT:]))
        shares = [c for _, c in known[:MOST_FREQUENT]]
        shares.append(sum(c for _, c in known[MOST_FREQUENT:]))
        shares += [blank, sum(c for c in counts.values() if c < LEAST_SEEN)]
        weights.append(_weights(np.array(shares, dtype=np.float64), len(column)))
    return Categories(tuple(frequent), tuple(rare), missing, np.concatenate(weights).astype(np.float32))


def _weights(counts: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    # Two rows with different frequent values stand about one unit apart; rarer values stand further out.
    share = np.maximum(counts, 0.5) / max(rows, 1)
    weight: NDArray[np.float64] = np.sqrt(0.5 * (1 + np.log(1 / np.minimum(share, 1))) / (1 + np.log(4.0)))
    return weight
