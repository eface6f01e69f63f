"""Signs of how far a teacher can be trusted, in words. The limits from which one is worth a warning stand here."""

from __future__ import annotations

import msgspec

from stillwatch.evaluation.numerals import decimal, percent

AGREEMENT = 0.25  # of the highest 1 %, shared by two members; by chance it is 0.01
STABILITY = 0.5
TIED = 0.5
CONTAMINATION = 0.2
CLUSTERED = 0.4


class HealthFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a teacher without labels; None: cannot be told."""

    tied: float  # share of training rows that share their score with another
    member_agreement: float | None = None  # share of the highest 1 % that two members have in common
    stability: float | None = None  # rank agreement of two fits on separate samples
    contamination: float | None = None  # share of rows beyond a clear gap
    clustered: float = 0.0  # share of the farthest 1 % that have near neighbours


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """One line: what it is, its figure, what it means, and a sentence to be warned with, "" where it is as it should be."""

    label: str
    figure: str
    meaning: str
    warning: str = ""


def signs(health: HealthFacts) -> tuple[Sign, ...]:
    """Put every sign in words, worst or not."""
    found = (
        _agreement(health),
        _stability(health),
        _tied(health),
        _contamination(health),
        _clustered(health),
    )
    return tuple(sign for sign in found if sign is not None)


def teacher_notes(health: HealthFacts) -> tuple[str, ...]:
    """Sentences on what should be looked at before alerts are relied on."""
    return tuple(sign.warning for sign in signs(health) if sign.warning)


def _agreement(health: HealthFacts) -> Sign | None:
    share = health.member_agreement
    if share is None:
        return None
    return Sign(
        label="Members agree on the top 1 %",
        figure=percent(share),
        meaning="of the rows that one member ranks highest, another has so many among its own highest",
        warning=""
        if share >= AGREEMENT
        else f"the teacher's members disagree on the top 1 %: two of them share {percent(share)} of it. "
        "Treat alerts as suggestions.",
    )


def _stability(health: HealthFacts) -> Sign | None:
    agreement = health.stability
    if agreement is None:
        return None
    return Sign(
        label="Another sample, the same ranking",
        figure=decimal(agreement),
        meaning="rank agreement of two teachers fitted on separate samples; 1 means the same order",
        warning=""
        if agreement >= STABILITY
        else "fitted on another sample of the rows, the teacher ranks them otherwise (rank agreement "
        f"{decimal(agreement)}). Treat alerts as suggestions; more rows or another teacher would steady them.",
    )


def _tied(health: HealthFacts) -> Sign:
    return Sign(
        label="Rows that share their score",
        figure=percent(health.tied),
        meaning="with another training row; the more, the coarser the ranking",
        warning=""
        if health.tied <= TIED
        else f"{percent(health.tied)} of the training rows share their score with another one, so the teacher ranks "
        "them coarsely.",
    )


def _contamination(health: HealthFacts) -> Sign:
    share = health.contamination
    return Sign(
        label="Rows that stand apart",
        figure="No gap" if share is None else percent(share),
        meaning="as far as a clear gap in the distances between rows tells; an estimate of the share of anomalies",
        warning=""
        if share is None or share <= CONTAMINATION
        else f"{percent(share)} of the training rows stand apart from the others. If these are the anomalies, they are "
        "too many to be told from normal rows without labels: take known ones out, or confirm a few.",
    )


def _clustered(health: HealthFacts) -> Sign:
    return Sign(
        label="Farthest rows with close neighbours",
        figure=percent(health.clustered),
        meaning="of the 1 % farthest from the bulk: a sign of many anomalies of one kind, or of rare normal rows",
        warning=""
        if health.clustered < CLUSTERED
        else f"{percent(health.clustered)} of the rows farthest from the bulk lie close together. If these are anomalies, "
        "a teacher that looks at a few neighbours takes them for normal: confirm a few, or use another teacher.",
    )
