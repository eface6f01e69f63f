import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from stillwatch import evaluation as ev
from stillwatch.errors import MissingExtraError

from .hostile import PAYLOADS, hostile_report
from .sample import sample_report

VOID = {"meta", "link", "img", "br", "hr", "input", "base", "source", "wbr"}
ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "a",
        "header",
        "main",
        "section",
        "nav",
        "footer",
        "aside",
    ),
    *("h1", "h2", "h3", "p", "span", "dl", "dt", "dd", "div", "ul", "ol", "li", "strong", "small", "em", "b"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "pre", "code"),
    *("svg", "desc", "g", "path", "rect", "text"),
    *("details", "summary", "label", "input", "script"),
}


class Page(HTMLParser):
    """Elements, attributes and text of a document; refuses one whose tags do not close."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.text, self.heads = [], [], [], []
        self.style = self.script = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs)), "an attribute is given twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        elif self.open and self.open[-1] == "script":
            self.script += data
        else:
            self.text.append(data)
        if self.open and self.open[-1] in {"h1", "h2", "h3"}:
            self.heads.append(self.open[-1])


REPORTS = {
    "full": sample_report(rows=3_000),
    "unlabelled": sample_report(labels=False, rows=3_000),
    "empty": ev.Report(),
    "hostile": hostile_report(),
}


@pytest.fixture(params=REPORTS)
def html(request):
    return ev.render_html(REPORTS[request.param])


def test_page_asks_the_network_for_nothing(html):
    page = Page(html)
    for tag, attrs in page.elements:
        assert tag in ALLOWED, tag
        assert not {"src", "srcset", "action", "style", "data", "poster", "background"} & set(attrs)
        assert not [name for name in attrs if name.startswith("on")]
        assert attrs.get("href", "#").startswith("#")
        assert not attrs.get("xlink:href")
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_content_security_policy_allows_this_style_and_this_script_alone(html):
    page = Page(html)
    policies = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    style, script = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (page.style, page.script)
    )
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; "
        "form-action 'none'"
    ]
    assert "unsafe" not in policies[0]
    # The policy must stand before anything that it governs.
    assert html.index("Content-Security-Policy") < html.index("<style") < html.index("<script")
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|eval|innerHTML|document\.write)\b", page.script)


def test_structure(html):
    page = Page(html)
    tags = [tag for tag, _ in page.elements]
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert (tags.count("h1"), tags.count("main"), tags.count("header"), tags.count("footer")) == (1, 1, 1, 1)
    assert page.heads[0] == "h1"
    for tag, attrs in page.elements:
        if "href" in attrs:
            assert attrs["href"][1:] in ids
        if tag == "svg":
            assert attrs.get("aria-hidden") == "true" or attrs["role"] == "img"
        if attrs.get("role") == "img":
            assert set(attrs["aria-labelledby"].split()) <= set(ids)
        for name in ("aria-labelledby",):
            assert set(attrs.get(name, "").split()) <= set(ids)


def test_payloads_are_inert():
    html = ev.render_html(hostile_report())
    text = "".join(Page(html).text)
    assert "<script>alert(1)</script>" in text  # shown as what it is
    assert html.count("<script") == 1  # ours
    assert "<img" not in html
    assert "{{ 7 * 7 }}" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u200b\ufeff\ud800-\udfff]", html)
    assert "x" * 500 not in html


def test_three_thousand_columns_stay_below_a_megabyte():
    columns = tuple(
        ev.ColumnLine(name=f"{i}" * 2_000, kind="number", reason="&" * 10_000) for i in range(3_000)
    )
    html = ev.render_html(ev.Report(columns=columns, warnings=("w" * 10_000,) * 3_000))
    assert len(html.encode()) < 1_000_000
    assert "And 2,800 more" in html
    assert "And 2,980 more" in html


def test_hostile_page_stays_below_a_megabyte():
    assert len(ev.render_html(hostile_report()).encode()) < 1_000_000
    assert max(map(len, PAYLOADS)) == 10_000


def test_every_figure_of_the_summary_is_on_the_page():
    html = ev.render_html(REPORTS["full"]).replace("\u00a0", " ")
    for words in (
        "82 times faster",
        "214 kB",
        "51,841",
        "1.62 million",
        "as set",
        "Pump sensors",
        "1 min 58 s",
    ):
        assert words in html


def test_an_estimate_is_given_where_nothing_was_measured():
    report = sample_report(rows=3_000)
    assert "rule of thumb from other tables" not in ev.render_html(report)
    assert "rule of thumb from other tables" in ev.render_html(replace(report, student_quality=None))


def test_missing_jinja_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"stillwatch\[train\]"):
        ev.render_html(ev.Report())


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"jinja2", "rich", "sklearn", "scipy", "torch"}
    code = f"import sys, stillwatch.evaluation; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_every_rate_has_its_cost_and_what_it_finds():
    page = " ".join(Page(ev.render_html(REPORTS["full"])).text)
    assert "What each rate costs and finds" in page
    assert "at 172,800 rows a day" in page
    assert "1,730" in page  # alarms a day at 1 %
    assert "On the labelled rows it was" in page
    unlabelled = " ".join(Page(ev.render_html(REPORTS["unlabelled"])).text)
    assert "What each rate costs and finds" in unlabelled
    assert "What each rate costs and finds" not in " ".join(Page(ev.render_html(REPORTS["empty"])).text)
