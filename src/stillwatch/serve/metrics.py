"""What the service counts, as Prometheus reads it. Base units, `_total` on counters, and labels that do not grow.

Counters are plain numbers that the event loop alone adds to; the exposition is made when it is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from stillwatch.scorer import Verdict
from stillwatch.serve.models import Model, Models

MEDIA = CONTENT_TYPE_LATEST
_SECONDS = np.array([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10])
_SCORES = np.array([-2.0, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 20])
MOST_COLUMNS = 200  # labels of a model; the others share one
_OTHERS = "(others)"


class _Histogram:
    def __init__(self, bounds: NDArray[np.float64]) -> None:
        self._bounds = bounds
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0

    def add(self, values: NDArray[np.floating[Any]]) -> None:
        self._counts += np.bincount(
            np.searchsorted(self._bounds, values, side="left"), minlength=len(self._counts)
        )
        self._sum += float(values.sum(dtype=np.float64))

    def add_one(self, value: float) -> None:
        self._counts[np.searchsorted(self._bounds, value, side="left")] += 1
        self._sum += value

    def family(self) -> tuple[list[tuple[str, float]], float]:
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        totals = [float(total) for total in accumulate(self._counts.tolist())]
        return list(zip(bounds, totals, strict=True)), self._sum


class Metrics(Collector):
    """Counters of the service.

    Parameters
    ----------
    depth, held
        the queue's length and the bytes of bodies now, asked for when metrics are.
    """

    def __init__(self, models: Models, depth: Callable[[], int], held: Callable[[], int]) -> None:
        self._models, self._depth, self._held = models, depth, held
        self._requests: Counter[tuple[str, int]] = Counter()
        self._rejected: Counter[str] = Counter()
        self._reloads: Counter[tuple[str, str]] = Counter()
        self._rows: Counter[str] = Counter()
        self._alerts: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._missing: dict[str, Counter[str]] = {}
        self._unseen: dict[str, Counter[str]] = {}
        self._scores: dict[str, _Histogram] = {}
        self._seconds = _Histogram(_SECONDS)
        self.inflight = 0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def answered(self, model: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests[model, status] += 1
        self._seconds.add_one(seconds)

    def refused(self, reason: str) -> None:
        """Count a request that was not answered as asked."""
        self._rejected[reason] += 1

    def judged(self, model: Model, verdict: Verdict) -> None:
        """Count judged rows; alerts at the model's own rate."""
        name = model.name
        self._rows[name] += len(verdict.score)
        self._alerts[name] += int(verdict.alert.sum())
        self._scores.setdefault(name, _Histogram(_SCORES)).add(verdict.score)
        _add(self._missing.setdefault(name, Counter()), verdict.counts.missing)
        _add(self._unseen.setdefault(name, Counter()), verdict.counts.unseen)

    def ignored(self, model: str, columns: int) -> None:
        """Count columns that the model does not use."""
        self._ignored[model] += columns

    def reloaded(self, model: str, result: str) -> None:
        """Count a look at a changed folder."""
        self._reloads[model, result] += 1

    def add(self, collector: Collector) -> None:
        """Expose what somebody else knows, too."""
        self._registry.register(collector)

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return bytes(generate_latest(self._registry))

    def collect(self) -> Iterator[Any]:
        """The families, as `prometheus_client` asks for them."""
        yield counter("requests", "Requests by model and status.", ("model", "code"), self._requests)
        yield _histogram(
            "request_duration_seconds", "From the head of a request to its answer.", {(): self._seconds}
        )
        yield counter("rejected", "Requests refused, by reason.", ("reason",), self._rejected)
        yield _gauge("queue_depth", "Requests that wait to be scored.", self._depth())
        yield _gauge("inflight_requests", "Requests being read or answered.", self.inflight)
        yield _gauge("held_bytes", "Bytes of bodies being read or answered.", self._held())
        yield counter("rows_scored", "Rows scored.", ("model",), self._rows)
        yield counter("alerts", "Rows above the model's own alert rate.", ("model",), self._alerts)
        yield _histogram(
            "score",
            "Scores; higher is more abnormal.",
            {(name,): found for name, found in self._scores.items()},
        )
        yield _by_column("missing_values", "Missing values by column.", self._missing)
        yield _by_column("unseen_category", "Categories not seen in training, by column.", self._unseen)
        yield counter(
            "ignored_columns", "Columns sent that the model does not use.", ("model",), self._ignored
        )
        info = GaugeMetricFamily(
            "stillwatch_model_info", "The models that are loaded.", labels=("model", "version", "sha256")
        )
        for model in self._models:
            info.add_metric((model.name, model.version, model.digest), 1)
        yield info
        yield counter(
            "model_reload", "Looks at a changed model folder, by result.", ("model", "result"), self._reloads
        )


def _add(counter: Counter[str], counts: Mapping[str, int]) -> None:
    for column, count in counts.items():
        counter[column if column in counter or len(counter) < MOST_COLUMNS else _OTHERS] += count


def label(value: object) -> str:
    """Text that cannot leave its place in the exposition, nor fill it."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in str(value)[:100])


def counter(name: str, text: str, labels: tuple[str, ...], counts: Mapping[Any, int]) -> CounterMetricFamily:
    """A counter; `counts` by label, or by a tuple of them."""
    family = CounterMetricFamily(f"stillwatch_{name}", text, labels=labels)
    for key, count in counts.items():
        family.add_metric([label(part) for part in (key if isinstance(key, tuple) else (key,))], count)
    return family


def _by_column(name: str, text: str, counts: Mapping[str, Counter[str]]) -> CounterMetricFamily:
    flat = {(model, column): count for model, found in counts.items() for column, count in found.items()}
    return counter(name, text, ("model", "column"), flat)


def gauges(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> GaugeMetricFamily:
    """A gauge with labels; `values` by label, or by a tuple of them."""
    family = GaugeMetricFamily(f"stillwatch_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric([label(part) for part in (key if isinstance(key, tuple) else (key,))], value)
    return family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"stillwatch_{name}", text, value=value)


def _histogram(name: str, text: str, found: Mapping[tuple[str, ...], _Histogram]) -> HistogramMetricFamily:
    labels = ("model",) if any(found) else ()
    family = HistogramMetricFamily(f"stillwatch_{name}", text, labels=labels)
    for key, histogram in found.items():
        buckets, total = histogram.family()
        family.add_metric(key, buckets, total)
    return family
