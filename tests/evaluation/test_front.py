from __future__ import annotations

import msgspec
import pytest

from stillwatch import evaluation as ev
from stillwatch.evaluation.front import front, front_plot

from .sample import sample_report

TRIED = tuple(
    ev.Candidate(family=family, size=size, fidelity=fidelity, latency_us=time, bytes=weight, chosen=chosen)
    for family, size, fidelity, time, weight, chosen in (
        ("linear", "9 columns", 0.71, 5.0, 4_000, False),
        ("mlp", "2 x 64", 0.948, 8.0, 48_000, False),
        ("mlp", "3 x 128", 0.972, 11.0, 214_000, True),
        ("trees", "200 x 31", 0.942, 19.0, 1_300_000, False),
    )
)


def test_the_front_holds_what_nothing_beats() -> None:
    assert [c.size for c in front(TRIED, by_time=True)] == ["9 columns", "2 x 64", "3 x 128"]


def test_every_candidate_stands_in_the_chart_and_the_kept_one_is_named() -> None:
    plot = front_plot(TRIED)
    assert plot is not None
    assert sum(shape.d.count("h0") for shape in plot.shapes) == len(TRIED) + 1  # and a ring
    assert [note.text for note in plot.notes] == ["kept: 3 x 128"]
    assert {words for _, words in plot.legend} == {"linear", "mlp", "trees", "Best at its cost"}
    assert all(c.size in plot.text for c in TRIED)
    for shape in plot.shapes:
        for x in [float(point.split()[0]) for point in shape.d.replace("L", "M").split("M")[1:]]:
            assert plot.left <= x <= plot.right


def test_size_stands_in_where_nothing_was_timed() -> None:
    untimed = [msgspec.structs.replace(c, latency_us=None) for c in TRIED]
    plot = front_plot(untimed)
    assert plot is not None
    assert plot.x_label.startswith("Size")


@pytest.mark.parametrize(
    "tried", [(), TRIED[:1], [msgspec.structs.replace(c, latency_us=None, bytes=None) for c in TRIED]]
)
def test_fewer_than_two_are_no_front(tried: tuple[ev.Candidate, ...]) -> None:
    assert front_plot(tried) is None


def test_many_families_share_the_last_colour() -> None:
    tried = [
        ev.Candidate(family=f"f{i}", size="1", fidelity=0.5 + i / 100, latency_us=1.0 + i) for i in range(9)
    ]
    plot = front_plot(tried)
    assert plot is not None
    assert ("dots family4", "others") in plot.legend
    assert sum(shape.d.count("h0") for shape in plot.shapes) == 9


def test_the_page_shows_it_only_where_there_was_a_search() -> None:
    report = sample_report(rows=2_000)
    assert "Students that were tried" not in ev.render_html(report)
    page = ev.render_html(msgspec.structs.replace(report, search=TRIED))
    assert "What more capacity would buy" in page
    assert page.count("trees 200 x 31") == 2
