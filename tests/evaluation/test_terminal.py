import io
import re

import pytest
from msgspec.structs import replace
from rich.console import Console

from stillwatch import evaluation as ev

from .hostile import hostile_report
from .sample import sample_report


def _printed(report, width=100, **options):
    out = io.StringIO()
    Console(file=out, width=width, **options).print(ev.render_text(report))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_both_stand_side_by_side(width):
    text = _printed(sample_report(rows=3_000), width)
    for words in ("AUROC", "Average precision", "Spearman", "11 µs", "914 µs", "1.62 million", "214 kB"):
        assert words in text
    assert max(map(len, text.splitlines())) <= width


def test_payloads_reach_the_terminal_as_text():
    text = _printed(hostile_report())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "<script>alert(1)</script>\n" in text
    assert "And 5 more notes" in text
    coloured = _printed(hostile_report(), force_terminal=True, color_system="truecolor")
    assert "\x1b]8" not in coloured


def test_a_poor_verdict_comes_with_what_may_help():
    report = sample_report(rows=4_000)
    assert "What may help" not in _printed(report)
    poor = replace(report.student_quality, auroc=ev.Interval(0.55, 0.5, 0.6))
    assert "What may help" in _printed(replace(report, student_quality=poor))


def test_nothing_known_is_still_a_text():
    assert "distilled from its teacher" in _printed(ev.Report())


def test_markup_in_a_warning_is_not_read():
    text = _printed(
        ev.Report(warnings=("[bold red]rich[/bold red] :smile: [link=http://a.example]x[/link]",))
    )
    assert "[bold red]rich[/bold red] :smile: [link=http://a.example]x[/link]" in text
