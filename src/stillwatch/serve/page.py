"""`/docs`: what the service takes, for people. One page, no script, nothing fetched."""

from __future__ import annotations

from html import escape
from typing import Any

import msgspec

from stillwatch.serve.limits import Limits
from stillwatch.serve.models import Model, Models
from stillwatch.serve.openapi import all_numbers
from stillwatch.serve.wire import arrow, delimited, lines
from stillwatch.serve.wire.asked import OUTPUTS
from stillwatch.serve.wire.open_inference import DATATYPES, PACKED
from stillwatch.table.values import shown

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_MOST_COLUMNS = 200
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2530; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .75rem .25rem 0;
border-bottom: 1px solid #d8dee5; vertical-align: top; } code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: #f3f5f7; padding: .75rem; overflow-x: auto; }
@media (prefers-color-scheme: dark) { body { background: #14191f; color: #dfe5ec; } pre { background: #1f2730; }
th, td { border-color: #36404b; } a { color: #8ab8ff; } }
"""


def docs(models: Models, limits: Limits) -> str:
    """The page."""
    parts = "".join(_model(model, single=models.only() is model) for model in models)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Stillwatch</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        "<h1>Stillwatch</h1><p>Rows in, scores out. <code>score</code>: higher is more abnormal. <code>p_value</code>: share of "
        "normal rows expected to score at least as high. <code>alert</code>: the p-value is at most the alert rate. By name "
        "only: <code>low_evidence</code> (nothing of the row was known) and <code>reasons</code>. Every answer names the model's "
        "version and digest in its headers.</p>"
        f"<p>For programs: <a href='openapi.json'>openapi.json</a>. At most {limits.body_bytes:,} bytes and "
        f"{limits.rows:,} rows a request; 503 with Retry-After where there is too much to do.</p>{parts}{_OTHERS}</body></html>"
    )


def _model(model: Model, *, single: bool) -> str:
    name = escape(model.name)
    columns = model.columns[:_MOST_COLUMNS]
    rows = "".join(
        f"<tr><td><code>{escape(shown(column.name, 100)[1:-1])}</code></td><td>{column.kind}</td>"
        f"<td><code>{DATATYPES[column.kind]}</code></td></tr>"
        for column in columns
    )
    more = (
        f"<p>and {len(model.columns) - len(columns):,} more</p>" if len(model.columns) > len(columns) else ""
    )
    packed = (
        f"<p>All columns are numbers: one input <code>{PACKED}</code>, FP32 [rows, {len(model.columns)}], in this order, "
        "will do as well.</p>"
        if all_numbers(model)
        else ""
    )
    path = "/invocations" if single else f"/v2/models/{name}/invocations"
    return (
        f"<h2>{name}</h2><p>Version <code>{model.version}</code>, digest <code>{model.digest}</code>, alert rate "
        f"{model.rate:g}.</p><table><tr><th>column</th><th>kind</th><th>datatype</th></tr>{rows}</table>{more}{packed}"
        f"<h3>POST /v2/models/{name}/infer</h3>{_curl(f'/v2/models/{name}/infer', _inference(model))}"
        f"<h3>POST {path}</h3>{_curl(path, {'dataframe_records': [_example(model)]})}"
    )


_OTHERS = (
    "<h2>Other ways in</h2><table>"
    f"<tr><td><code>POST .../invocations</code></td><td>also {delimited.MEDIA}, {lines.MEDIA} and {arrow.MEDIA}</td></tr>"
    "<tr><td><code>POST /v2/models/NAME/ndjson</code>, <code>/arrow</code></td><td>the same, by path</td></tr>"
    f"<tr><td><code>?alert_rate=0.001&amp;outputs=score,reasons</code></td><td>outputs: {', '.join(OUTPUTS)}</td></tr>"
    "<tr><td><code>GET /v2/models/NAME</code></td><td>columns, datatypes, digest</td></tr>"
    "<tr><td><code>GET /v2/health/live</code>, <code>/v2/health/ready</code>, <code>/ping</code></td><td>probes</td></tr>"
    "<tr><td><code>GET /metrics</code></td><td>for Prometheus</td></tr></table>"
)


def _curl(path: str, body: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(body), indent=1).decode()
    text = text.replace("'", "\\u0027")  # as JSON has it, so that the shell's quotes hold
    command = f"curl -H 'Content-Type: application/json' http://localhost:8080{path} -d '{text}'"
    return f"<pre>{escape(command)}</pre>"


def _example(model: Model) -> dict[str, Any]:
    """A synthetic row that the model carries with it."""
    golden = model.manifest.golden.rows[:1]
    row = golden[0] if golden else {}
    return {column.name: row.get(column.name) for column in model.columns[:_MOST_COLUMNS]}


def _inference(model: Model) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": name, "shape": [1, 1], "datatype": _datatype(value), "data": [value]}
            for name, value in _example(model).items()
        ]
    }


def _datatype(value: Any) -> str:
    return "BOOL" if isinstance(value, bool) else "BYTES" if isinstance(value, str) else "FP64"
