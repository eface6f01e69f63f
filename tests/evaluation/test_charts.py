import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch import evaluation as ev
from stillwatch.evaluation import charts


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_ordered_and_inside(low, width):
    ticks = charts.round_steps(low, low + width)
    assert len(ticks) <= 7
    assert list(ticks) == sorted(set(ticks))
    # Far from zero float64 is coarser than a narrow axis.
    slack = width * 1e-6 + 4 * np.spacing(abs(low) + width)
    assert all(low - slack <= tick <= low + width + slack for tick in ticks)


def test_scales():
    assert charts.logarithmic(0.01, 1, 0, 100)(0.1) == pytest.approx(50)
    assert charts.logarithmic(0.01, 1, 0, 100)(0) == 0  # below the axis: at its edge
    assert charts.linear(5, 5, 0, 10)(5) == 0


def test_paths():
    x = y = charts.linear(0, 1, 0, 10)
    assert charts.line_path([(0, 0), (0.55, 1)], x, y) == "M0 0L5.5 10"
    assert charts.dots_path([(0.5, 0.5)], x, y) == "M5 5h0"
    assert charts.steps_path([0, 0.5, 1], [0.2, 0.4], x, y, 0) == "M0 0V2H5V4H10V0Z"


def _coordinates(plot):
    for shape in plot.shapes:
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", shape.d):
            yield float(x), float(y)


@pytest.mark.parametrize("rows", [40, 5_000])
def test_every_plot_stays_inside_its_frame(rows):
    rng = np.random.default_rng(1)
    labels = np.arange(rows) % 10 == 0
    teacher = rng.normal(size=rows) + labels
    student = teacher + rng.normal(0, 0.2, rows)
    quality = ev.quality(student, labels, alerts=student > 2)
    both = ev.curves(student, labels), ev.curves(teacher, labels)
    histogram = ev.score_histogram(student, labels, threshold=2.0)
    checks = [ev.TrainingCheck(step=e, spearman=s) for e, s in ((1, -0.2), (2, 0.5), (3, 0.97))]
    plots = [
        charts.roc_plot(*both, quality),
        charts.pr_plot(*both, quality),
        charts.scatter_plot(ev.rank_scatter(student, teacher, labels)),
        charts.histogram_plot(histogram, 2.0),
        charts.training_plot(checks),
        charts.training_plot(checks[2:]),
        charts.overlap_plot(ev.overlap_curve(student, teacher), rows),
        charts.intervals_plot(quality, quality),
        charts.intervals_plot(quality, None),
    ]
    for plot in plots:
        assert plot.x_ticks, plot.id
        assert len(plot.y_ticks) > 1, plot.id
        for x, y in _coordinates(plot):
            assert plot.left - 0.1 <= x <= plot.right + 0.1, plot.id
            assert plot.top - 0.1 <= y <= plot.bottom + 0.1, plot.id
        labels_x = [tick.at for tick in plot.x_ticks]
        assert np.diff(sorted(labels_x)).min(initial=99) > 24, plot.id  # room for a label


def test_bars_fit_and_keep_their_order():
    bars = charts.log_bars([("student", 11.0, "a"), ("teacher", 914.0, "b")], charts.microseconds)
    assert 0 < bars[0].share < bars[1].share <= 1
    assert bars[0].figure == "11 µs"
    equal = charts.log_bars([("a", 5.0, ""), ("b", 5.0, "")], charts.rate)
    assert equal[0].share == equal[1].share > 0
    shares = charts.share_bars([("train", 300), ("jitter", 100)])
    assert (shares[0].share, shares[1].figure) == (1, "100 · 25 %")
    assert charts.share_bars([("nothing", 0)])[0].share == 0
    parts = charts.stacked_bars([("a", 1.0), ("b", 3.0)], str)
    assert [part.start for part in parts] == [0, 0.25]
    assert sum(part.share for part in parts) == 1
