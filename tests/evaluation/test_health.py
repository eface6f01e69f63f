from __future__ import annotations

import msgspec
from rich.console import Console

from stillwatch.evaluation.card import CardFacts, card
from stillwatch.evaluation.health import HealthFacts, signs, teacher_notes
from stillwatch.evaluation.page import render_html
from stillwatch.evaluation.report import Report, TeacherFacts, decode_report, encode_report
from stillwatch.evaluation.terminal import render_text

SOUND = HealthFacts(tied=0.0, member_agreement=0.6, stability=0.95)
POOR = HealthFacts(tied=0.7, member_agreement=0.1, stability=0.2, contamination=0.6, clustered=0.8)


def report(health: HealthFacts) -> Report:
    return Report(teacher=TeacherFacts(name="auto", health=health), warnings=teacher_notes(health))


def test_a_sound_teacher_needs_no_note() -> None:
    assert teacher_notes(SOUND) == ()
    assert len(signs(SOUND)) == 5


def test_every_poor_sign_has_a_sentence() -> None:
    notes = teacher_notes(POOR)
    assert len(notes) == 5
    assert "disagree on the top 1 %: two of them share 10 % of it. Treat alerts as suggestions." in notes[0]
    assert all(note.endswith(".") for note in notes)


def test_what_cannot_be_told_is_left_out_or_said() -> None:
    found = signs(HealthFacts(tied=0.0))
    assert [sign.label for sign in found] == [
        "Rows that share their score",
        "Rows that stand apart",
        "Farthest rows with close neighbours",
    ]
    assert found[1].figure == "No gap"


def test_it_stands_on_the_page_in_the_terminal_and_on_the_card() -> None:
    page = render_html(report(POOR))
    assert "Members agree on the top 1 %" in page.replace("\u00a0", " ")
    assert "Treat alerts as suggestions" in page
    console = Console(width=200, no_color=True, record=True)
    console.print(render_text(report(POOR)))
    told = console.export_text()
    assert "Teacher's health: members agree on the top 1 %: 10 %" in told
    assert "Treat alerts as suggestions" in told
    assert "Treat alerts as suggestions" in card(report(POOR), CardFacts())


def test_without_it_nothing_is_shown() -> None:
    page = render_html(Report(teacher=TeacherFacts(name="auto")))
    assert "The teacher's health" not in page


def test_it_survives_the_report_file() -> None:
    again = decode_report(encode_report(report(POOR)))
    assert again.teacher is not None
    assert again.teacher.health == POOR
    assert msgspec.to_builtins(again.teacher.health)["contamination"] == 0.6
