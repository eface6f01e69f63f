"""The site builds without a warning, its links lead somewhere, and what its pages show runs from top to bottom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    DOCS / "index.md",
    DOCS / "tutorial.md",
    *sorted(DOCS.glob("howto/*.md")),
    *sorted(DOCS.glob("explanation/*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

# The pages show the defaults; here a student trains for seconds, not for a minute, and its teacher is asked less.
QUICK = """
import stillwatch.knowledge.make as make, stillwatch.students.auto as auto, stillwatch.students.lesson as lesson
make.MOST_SYNTHETIC, lesson.default_steps = 6_000, lambda rows: 150
vars(auto).update(_TRIAL=60)
"""
SHELL = """
def run_shell(text):
    import subprocess
    subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=True, stdin=subprocess.DEVNULL)
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
    commands = tmp_path / "bin"
    commands.mkdir()
    quick = commands / "stillwatch"
    quick.write_text(f"#!{sys.executable}\n{QUICK}\nfrom stillwatch.cli.main import run\nrun()\n")
    quick.chmod(0o755)
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
