"""The page as a reader meets it, in headless Chromium: wide and narrow, light and dark, by keyboard, on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from stillwatch import evaluation as ev
from tests.browser import Browser, Page, needs_chromium

from .hostile import hostile_report
from .sample import sample_report

pytestmark = needs_chromium

OUTCOME = """[...document.querySelectorAll("[id^=dial-]")].filter(place => place.id !== "dial-said")
    .map(place => [place.id, place.value || place.textContent || place.getAttribute("width")].join(" ")).join("\\n")"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    reports = {
        "full": sample_report(rows=3_000),
        "unlabelled": sample_report(rows=3_000, labels=False),
        "hostile": hostile_report(),
        "empty": ev.Report(),
    }
    found = {}
    for name, report in reports.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(ev.render_html(report), encoding="utf-8")
    return found


def show(browser: Browser, path: Path, *, width: int = 1280, dark: bool = False) -> Page:
    page = browser.page()
    page.look(width=width, dark=dark)
    page.open(path.resolve().as_uri())
    return page


@pytest.mark.parametrize("name", ["full", "unlabelled", "hostile", "empty"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_asks_for_nothing_and_nothing_sticks_out(
    browser: Browser, files: dict[str, Path], name: str, width: int
) -> None:
    page = show(browser, files[name], width=width)
    assert page.requests == [files[name].resolve().as_uri()]
    page.ask("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert page.complaints == []  # the policy refused nothing of ours, and no script failed
    assert page.ask("document.documentElement.scrollWidth") <= width
    assert page.ask("document.title").strip()


def test_injected_script_does_not_run(browser: Browser, files: dict[str, Path]) -> None:
    page = show(browser, files["full"])
    page.ask(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert page.ask("window.ran") is None
    assert any("Content Security Policy" in said for said in page.complaints)


@pytest.mark.parametrize("name", ["full", "unlabelled"])
def test_the_slider_says_what_the_page_said_and_moves_by_keys(
    browser: Browser, files: dict[str, Path], name: str
) -> None:
    page = show(browser, files[name])
    before = page.ask(OUTCOME)
    page.ask("document.getElementById('dial-rate').focus()")
    page.press("ArrowRight", 3)
    more = page.ask(OUTCOME)
    assert more != before
    page.press("ArrowLeft", 3)
    assert page.ask(OUTCOME) == before  # the script's sums are those of the page
    alarms = "dial-alarms" if name == "full" else "dial-false"
    fewer, most = (
        float(page.ask(f"document.getElementById('{alarms}').textContent").replace(",", ""))
        for _ in map(page.press, ("Home", "End"))
    )
    assert fewer < most
    assert (
        page.ask("document.getElementById('dial-rate').getAttribute('aria-valuetext')")
        == "50 % of normal rows"
    )
    assert "a day" in page.ask("document.getElementById('dial-said').textContent")


def test_the_reader_puts_in_rows_and_share_of_their_own(browser: Browser, files: dict[str, Path]) -> None:
    page = show(browser, files["full"])

    def put(name: str, value: str) -> dict[str, str]:
        page.ask(f"""(field => {{ field.value = "{value}"; field.dispatchEvent(new Event("input")); }})
            (document.getElementById("dial-{name}"))""")
        return dict(line.split(" ", 1) for line in page.ask(OUTCOME).splitlines() if " " in line)

    as_labelled = put("volume", "1000000")
    rare = put("share", "0.1")
    assert float(rare["dial-precision"].split()[0]) < float(as_labelled["dial-precision"].split()[0])
    assert rare["dial-recall"] == as_labelled["dial-recall"]
    wrong = put("volume", "-3")
    assert page.ask("document.getElementById('dial-volume').getAttribute('aria-invalid')") == "true"
    assert float(wrong["dial-alarms"].replace(",", "")) > 0  # the last figure that made sense
    mark = "document.querySelector('#scores-chart .threshold').getAttribute('d')"
    at = page.ask(mark)
    page.ask("document.getElementById('dial-rate').focus()")
    page.press("Home")
    assert page.ask(mark) != at  # the line in the histogram goes along


def test_keys_reach_everything_in_the_order_of_the_page(browser: Browser, files: dict[str, Path]) -> None:
    page = show(browser, files["full"])
    stops = []
    for _ in range(60):
        page.press("Tab")
        name = page.ask("document.activeElement.id || document.activeElement.textContent.trim()")
        if page.ask("document.activeElement === document.body"):
            break  # once around
        stops.append(name)
        visible = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.ask(visible) != "none", name
    assert stops[0] == "Skip to the summary"
    assert [stop for stop in stops if stop.startswith("dial-")] == ["dial-rate", "dial-volume", "dial-share"]
    assert any(stop.startswith("What each rate") for stop in stops)
    page.ask("document.querySelector('summary').focus()")
    page.press("Enter")
    assert page.ask("document.querySelector('details').open") is True


def test_a_screen_reader_hears_names_for_everything(browser: Browser, files: dict[str, Path]) -> None:
    page = show(browser, files["full"])
    spoken = page.spoken()
    for role in ("slider", "spinbutton", "image", "region", "table", "navigation", "main"):
        names = [name for kind, name in spoken if kind == role]
        assert names, role
        if role in {"slider", "spinbutton", "image", "region", "navigation"}:
            assert all(names), role
    images = [name for role, name in spoken if role == "image"]
    assert any("3" in name and "share" in name for name in images)  # charts are told in words
    levels = page.ask("[...document.querySelectorAll('h1,h2,h3')].map(head => Number(head.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


CONTRAST = """(() => {
  const light = (c) => c.match(/[\\d.]+/g).map(Number).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$/.test(c)) return c; } return "rgb(255, 255, 255)"; };
  return [...document.querySelectorAll("p, h1, h2, h3, dt, dd, th, td, li, small, label, summary, .grade, svg text")]
    .filter(e => e.textContent.trim() && e.getClientRects().length).map(e => {
      const own = getComputedStyle(e); const ink = e.tagName === "text" ? own.fill : own.color;
      const [a, b] = [light(ink), light(ground(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 40)]; })
    .filter(([ratio, text]) => ratio < 4.5 && text !== "–");
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(browser: Browser, files: dict[str, Path], dark: bool) -> None:
    page = show(browser, files["full"], dark=dark)
    paper = page.ask("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 200) is dark
    assert page.ask(CONTRAST) == []


def test_it_prints_on_a_few_sheets(browser: Browser, files: dict[str, Path]) -> None:
    page = show(browser, files["full"], dark=True)
    printed = page.print()
    assert printed.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 9
    page.send("Emulation.setEmulatedMedia", media="print")
    assert page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.ask("getComputedStyle(document.querySelector('.controls')).display") == "none"
    assert page.ask("getComputedStyle(document.querySelector('.tiles')).display") != "none"
