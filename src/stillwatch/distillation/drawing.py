"""The rows that are distilled, drawn while the schema is inferred: a long table is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.table.read import Source
from stillwatch.table.sample import Sampler

First = Callable[[pa.RecordBatch], NDArray[np.bool_]]


class Drawing:
    """A uniform sample of at most `limit` rows, which depends on the rows and the seed."""

    def __init__(self, limit: int, seed: int) -> None:
        self._limit, self._seed = limit, seed
        self._sampler = self._new(None)
        self._drawn = False

    def watch(
        self, batches: Iterable[pa.RecordBatch], first: First | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Hand batches on, and draw among their rows; the sample begins anew at every call."""
        self._sampler, self._drawn = self._new(first), True
        for batch in batches:
            self._sampler.add(batch)
            yield batch

    def table(self, source: Source, first: First | None) -> pa.Table:
        """The rows drawn; they are read for it where nobody has read them, or where some come `first` (see `sample`)."""
        if not self._drawn or first is not None:
            for _ in self.watch(source.batches(), first):
                pass
        return self._sampler.table()

    def _new(self, first: First | None) -> Sampler:
        return Sampler(self._limit, np.random.default_rng(self._seed), first=first)
