"""What `drift` found as one HTML file, which asks the network for nothing and runs nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from stillwatch.drift.report import Bar, Change, Drift
from stillwatch.evaluation.inert import plain
from stillwatch.evaluation.numerals import decimal, percent

_MOST = 500  # columns charted, and listed; --json holds them all
_LABEL, _WIDTH, _BAR, _ROW = 190, 420, 11, 30  # of a chart, in its own units

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf6; --ink: #17211f; --soft: #55625f; --line: #dcded6;
  --before: #8b6f2e; --now: #0b6e69; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #101615; --ink: #e8ebe6; --soft: #a7b2ae; --line: #303b38; --before: #d3b067; --now: #4fc4b8; }
}
body { margin: 0 auto; max-width: 1100px; padding: 40px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: 32px; line-height: 1.2; } h2 { font-size: 20px; margin-top: 40px; }
.why { font-size: 19px; max-width: 42em; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 28px; }
figure { margin: 0; } figcaption { font-weight: 600; } figcaption span { color: var(--soft); font-weight: 400; }
svg { width: 100%; height: auto; } text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.before { fill: var(--before); } .now { fill: var(--now); }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; max-width: 24em; } tr.drifted { font-weight: 600; }
"""


def render(found: Drift) -> str:
    """Write the page: verdict and advice, a chart for everything that has drifted, and every figure.

    Parameters
    ----------
    found
        what to show; names and categories in it are untrusted and come out inert.
    """
    score = () if found.score is None else (found.score,)
    drifted = [change for change in (*score, *found.columns) if change.drifted]
    said = f"Drifted: {_listed(found)}" if found.alarm else "Nothing has drifted"
    alarms = found.alarms
    more = len(drifted) - _MOST
    parts = [
        f"<h1>{escape(said)}</h1>",
        f'<p class="why">{found.rows:,} rows. {escape(found.why)}</p>',
        f"<p>Advice: <strong>{escape(found.advice)}</strong>. Alarms: {percent(alarms.found)} of the rows, promised "
        f"{percent(alarms.promised)} (p {p_value(alarms.p_value)}).</p>",
        *(("<h2>What has changed</h2>", _legend()) if drifted else ()),
        '<div class="charts">',
        *map(chart, drifted[:_MOST]),
        "</div>",
        *((f"<p>{more:,} more have drifted.</p>",) if more > 0 else ()),
        "<h2>All columns</h2>",
        _table((*score, *found.columns[:_MOST])),
        "<p>PSI: how much the shares of the values have changed; by custom below 0.1 small, above 0.25 large. "
        "KS: the largest gap between the two distributions, 0 to 1. "
        "above: the chance that a new value exceeds an earlier one; 0.5 is no shift. "
        f"p: the chance to see such a change anywhere in the table where nothing has drifted; at most {found.level:g} is called "
        "drifted.</p>",
    ]
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Drift</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def chart(change: Change) -> str:
    """Shares of a column's values before and now, as a figure."""
    most = max((max(bar.before, bar.now) for bar in change.bars), default=1.0) or 1.0
    height = _ROW * len(change.bars)
    bars = "\n".join(_bars(bar, i * _ROW, most) for i, bar in enumerate(change.bars))
    name, rest = escape(title(change)), ""
    for word, pair in (("missing", change.missing), ("unseen", change.unseen)):
        rest += f", {word} {shares(pair)}" if shares(pair) else ""
    return (
        f"<figure><figcaption>{name} <span>{change.size} change, PSI {decimal(change.psi)}{rest}</span></figcaption>\n"
        f'<svg viewBox="0 0 {_LABEL + _WIDTH + 60} {height}" role="img" aria-label="{name}: shares before and now">\n'
        f"{bars}\n</svg></figure>"
    )


def title(change: Change) -> str:
    """Name of a column, or of the score, for people."""
    if change.kind == "score":
        return "score"
    return plain(change.column, 60) + (f" ({change.kind})" if change.kind in {"hour", "weekday"} else "")


def _bars(bar: Bar, top: int, most: float) -> str:
    lines = [f'<text x="{_LABEL - 8}" y="{top + 15}" text-anchor="end">{escape(plain(bar.label, 28))}</text>']
    for look, share, at in (("before", bar.before, top), ("now", bar.now, top + _BAR + 1)):
        length = max(1.0, _WIDTH * share / most)
        lines.append(
            f'<rect class="{look}" x="{_LABEL}" y="{at}" width="{length:.1f}" height="{_BAR}"/>'
            f'<text x="{_LABEL + length + 5:.1f}" y="{at + 10}">{percent(share)}</text>'
        )
    return "".join(lines)


def _legend() -> str:
    return (
        f'<svg viewBox="0 0 {_LABEL + _WIDTH + 60} 16" role="img" aria-label="colours">'
        '<rect class="before" width="12" height="12"/>'
        '<text x="18" y="11">what the model was made of</text><rect class="now" x="230" width="12" height="12"/>'
        '<text x="248" y="11">now</text></svg>'
    )


def _table(changes: Iterable[Change]) -> str:
    heads = ("column", "change", "PSI", "KS", "above", "missing", "unseen", "p")
    rows = [
        f"<tr{' class=drifted' if change.drifted else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(change))
        + "</tr>"
        for change in changes
    ]
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f'<div class="wide"><table><tr>{head}</tr>\n' + "\n".join(rows) + "</table></div>"


def _cells(change: Change) -> tuple[str, ...]:
    return (
        title(change),
        change.size if change.drifted else "none seen",
        decimal(change.psi),
        "" if change.ks is None else decimal(change.ks),
        "" if change.above is None else decimal(change.above),
        shares(change.missing),
        shares(change.unseen),
        p_value(change.p_value),
    )


def shares(pair: tuple[float, float] | None) -> str:
    """A share before and now; "" where both are nothing."""
    return "" if pair is None or not any(pair) else f"{percent(pair[0])} → {percent(pair[1])}"


def p_value(value: float | None) -> str:
    """A p-value, or that it cannot be told."""
    return "unknown" if value is None else f"{value:.2g}"


def _listed(found: Drift) -> str:
    names = [plain(name, 40) for name in found.drifted]
    if found.score is not None and found.score.drifted:
        names.append("the score")
    if found.alarms.drifted:
        names.append("the share of alarms")
    return ", ".join(names[:8]) + (f" and {len(names) - 8:,} more" if names[8:] else "")
