"""The site builds without a warning, its links lead somewhere, and what its pages show runs from top to bottom."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer.main

from stillwatch.cli.main import app
from tests.quick import QUICK, quick_program

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    DOCS / "index.md",
    DOCS / "tutorial.md",
    *sorted(DOCS.glob("howto/*.md")),
    *sorted(DOCS.glob("explanation/*.md")),
]
# Pages about a model that is there already, with the blocks that run: the others have tests of their own.
OLDER = {"drift": slice(0, 1), "stream": slice(0, 3), "scale": slice(0, 1)}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

SHELL = """
def run_shell(text):
    import subprocess
    subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=True, stdin=subprocess.DEVNULL)
"""


PREPARED = """
import os
import numpy as np
import pyarrow as pa, pyarrow.json, pyarrow.parquet as pq
import stillwatch as sw

if __name__ == "__main__" and not os.path.exists("model"):
    rng = np.random.default_rng(0)
    rows = pa.table({"amount": np.exp(rng.normal(3, 1, 5000)), "hour": rng.integers(8, 20, 5000)})
    sw.distill(rows, teacher="knn", student=sw.MLP(hidden=(16,), steps=100)).save("model")
    os.makedirs("data/june")
    pq.write_table(rows, "data/june/a.parquet")
    with open("events.ndjson", "w") as file:
        file.writelines(f'{{"amount": {row["amount"]}, "hour": {row["hour"]}}}\\n' for row in rows.slice(0, 500).to_pylist())
    scorer, stream = sw.load("model"), [rows.slice(at, 500) for at in range(0, 5000, 500)]
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks of a page."""
    return BLOCK.findall(page.read_text())


def test_every_block_is_run_or_says_that_it_is_output() -> None:
    languages = {language for page in PAGES for language, _ in blocks(page)}
    assert languages <= {"python", "sh", "text"}
    assert sum(language != "text" for page in PAGES for language, _ in blocks(page)) > 25


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    commands = quick_program(tmp_path / "bin").parent
    script = [QUICK, SHELL]
    for language, text in blocks(page):
        if language != "text":
            script.append(text if language == "python" else f"run_shell({text!r})")
    folder = tmp_path / "work"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(script)],
        cwd=folder, env=os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("name", OLDER)
def test_what_older_pages_show_runs_on_a_model(name: str, tmp_path: Path) -> None:
    shown = [text for language, text in blocks(DOCS / f"{name}.md") if language == "python"][OLDER[name]]
    (tmp_path / "shown.py").write_text("\n".join([QUICK, PREPARED, *shown]))
    done = subprocess.run(
        [sys.executable, "shown.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_commands_of_all_pages_exist_with_their_flags() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    found = [
        (page.name, shlex.split(line))
        for page in DOCS.rglob("*.md")
        for line in re.findall(
            r"^(?: {4})?(stillwatch [a-z].*?)(?:  +#.*|\|.*|>.*)?$", page.read_text(), re.MULTILINE
        )
    ]
    assert len(found) > 15
    for page, (_, command, *words) in found:
        assert command in known, (page, command)
        flags = {flag for parameter in known[command].params for flag in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= flags, (page, command, words)


class Links(HTMLParser):
    """Addresses that a page refers to, and the places in it that can be referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.places.add(found["id"] or "")
        if tag == "a" and found.get("href"):
            self.targets.append(found["href"] or "")
        address = found.get("src") or (found.get("href") if tag == "link" else None)
        if address:
            self.loaded.append(address)


@pytest.mark.slow
def test_the_site_builds_strictly_and_no_link_is_broken(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = {path: Links(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 20
    broken = []
    for path, links in pages.items():
        for address in (*links.targets, *links.loaded):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            placed = (
                not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].places
            )
            if not (target.exists() and placed):
                broken.append(f"{path.relative_to(site)}: {address}")
    assert broken == []
    asked_elsewhere = {a for links in pages.values() for a in links.loaded if urlsplit(a).netloc}
    assert asked_elsewhere == set()  # a page of the site loads nothing from other hosts
    assert not list(site.rglob("*.py"))
