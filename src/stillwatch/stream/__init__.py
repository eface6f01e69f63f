"""Scores of events as they come: lines in, lines out."""

from stillwatch.stream.events import EventScorer, Scored
from stillwatch.stream.lines import Lines
from stillwatch.stream.outlet import Outlet
from stillwatch.stream.run import Totals, score_stream
from stillwatch.table.records import Refused

__all__ = ["EventScorer", "Lines", "Outlet", "Refused", "Scored", "Totals", "score_stream"]
