"""Quality, fidelity, speed and size: four separate things, measured, and the report that shows them."""

from stillwatch.evaluation.budget import BudgetLine, budget
from stillwatch.evaluation.card import CardFacts, card
from stillwatch.evaluation.fidelity import Fidelity, fidelity
from stillwatch.evaluation.page import render_html
from stillwatch.evaluation.quality import (
    Change,
    Interval,
    Quality,
    alerts_at,
    quality,
    quality_change,
    why_unmeasured,
)
from stillwatch.evaluation.report import (
    CalibrationFacts,
    Candidate,
    ColumnLine,
    KnowledgePart,
    RateThreshold,
    Report,
    Reproduction,
    RowCounts,
    StepTime,
    StudentFacts,
    TeacherFacts,
    TrainingCheck,
    decode_report,
    encode_report,
)
from stillwatch.evaluation.series import (
    Curve,
    Curves,
    Histogram,
    Scatter,
    curves,
    overlap_curve,
    rank_scatter,
    score_histogram,
)
from stillwatch.evaluation.speed import Speed, measure_speed
from stillwatch.evaluation.terminal import render_text

__all__ = [
    "BudgetLine",
    "CalibrationFacts",
    "Candidate",
    "CardFacts",
    "Change",
    "ColumnLine",
    "Curve",
    "Curves",
    "Fidelity",
    "Histogram",
    "Interval",
    "KnowledgePart",
    "Quality",
    "RateThreshold",
    "Report",
    "Reproduction",
    "RowCounts",
    "Scatter",
    "Speed",
    "StepTime",
    "StudentFacts",
    "TeacherFacts",
    "TrainingCheck",
    "alerts_at",
    "budget",
    "card",
    "curves",
    "decode_report",
    "encode_report",
    "fidelity",
    "measure_speed",
    "overlap_curve",
    "quality",
    "quality_change",
    "rank_scatter",
    "render_html",
    "render_text",
    "score_histogram",
    "why_unmeasured",
]
