"""`distill --dry-run`: what would become of columns and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table

from stillwatch.cli.inspect import schema_table
from stillwatch.cli.show import result
from stillwatch.evaluation.inert import plain
from stillwatch.table.schema import Schema

if TYPE_CHECKING:
    from stillwatch.distillation.plan import Plan

_MOST_GROUPS = 8


def show_plan(plan: Plan, schema: Schema, *, alert_rate: float, json: bool) -> None:
    """Print what `distill` would do."""
    result(
        {"schema": schema, "plan": plan}, Group(schema_table(schema), "", _rows(plan, alert_rate)), json=json
    )


def _rows(plan: Plan, alert_rate: float) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    sampled = "" if plan.read == plan.rows else f", of which {plan.read:,} are drawn at random"
    table.add_row("rows", f"{plan.rows:,}{sampled}")
    if plan.anomalies is not None and plan.normal is not None:
        unknown = plan.read - plan.anomalies - plan.normal
        table.add_row(
            "by label",
            f"{plan.anomalies:,} anomalies, {plan.normal:,} normal{f', {unknown:,} without' if unknown else ''}",
        )
    if plan.confirmed is not None:
        table.add_row("confirmed", f"{plan.confirmed:,} anomalies, which always train")
    table.add_row("fit", f"{plan.fit:,} rows: columns are scaled, teacher and student fitted on these")
    table.add_row(
        "calibrate",
        "all of them, in two halves that take turns, so the p-values are approximate"
        if plan.approximate
        else f"{plan.calibration:,} rows that nothing is fitted on",
    )
    if plan.evaluating:
        table.add_row("evaluate only", f"{plan.evaluating:,} labelled anomalies")
    if plan.unused:
        table.add_row("unused", f"{plan.unused:,} rows without a label")
    finer = (
        "" if alert_rate >= plan.finest_rate else f"; {alert_rate:g} is finer, so this would be the default"
    )
    table.add_row("alert rates", f"from {plan.finest_rate:.2g}{finer}")
    if plan.groups is not None:
        names = ", ".join(plain(name, 40) for name in plan.groups[:_MOST_GROUPS])
        more = f" and {len(plan.groups) - _MOST_GROUPS:,} more" if len(plan.groups) > _MOST_GROUPS else ""
        table.add_row("own thresholds", f"{names}{more}" if plan.groups else "no value has enough rows")
    return table
