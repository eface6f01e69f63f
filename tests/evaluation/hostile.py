"""Texts that want to be more than text, and a report that holds them everywhere."""

from __future__ import annotations

import msgspec

from stillwatch import evaluation as ev

from .sample import sample_report

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(2)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "=cmd|' /C calc'!A0",
    "\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b]8;;\x07\x9b2J",
    "line\nbreak\r\n# heading\u2028next",
    "a|b`c`[link](http://evil.example)![i](http://evil.example/p.png)",
    "[bold red]rich[/bold red] :smile: [link=http://evil.example]x[/link]",
    "\u202egnp.exe\u200b\ufeff",
    "\ud800 lone",
    "x" * 10_000,
    "```\n---\nlicense: mit\n",
)


def hostile_report() -> ev.Report:
    names = PAYLOADS
    plain = sample_report(rows=2_000)
    return msgspec.structs.replace(
        plain,
        title=names[0],
        created=names[1],
        data=names[2],
        columns=tuple(
            ev.ColumnLine(name=text, kind=text, role=text, reason=text) for text in (*names, *names)
        ),
        teacher=ev.TeacherFacts(
            name=names[1], recipe={text: {"deep": [text, {text: text}]} for text in names}
        ),
        student=ev.StudentFacts(name=names[6], parameters=1, bytes=1, recipe=dict.fromkeys(names, names[0])),
        knowledge=tuple(ev.KnowledgePart(kind=text, rows=5) for text in names),
        steps=tuple(ev.StepTime(step=text, seconds=1.0) for text in names),
        warnings=names,
        quality_note=names[0],
        reproduction=ev.Reproduction(
            call=names[5] + names[0],
            seed=0,
            data_fingerprint=names[2],
            digest=names[3],
            versions=dict.fromkeys(names, names[1]),
            machine=names[4],
        ),
    )


def hostile_facts() -> ev.CardFacts:
    return ev.CardFacts(
        num=PAYLOADS, num64=PAYLOADS[:2], txt=PAYLOADS, booleans=PAYLOADS[:1], digest=PAYLOADS[0]
    )
