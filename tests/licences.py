"""Write `docs/licences.md`: what an installation brings along, and under which licence.

    .venv/bin/python -m tests.licences

The list follows from `pyproject.toml` and from what the installed packages say of themselves.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
NOT_SHIPPED = {"all", "bench", "dev", "docs"}  # extras of those who work on the project

PERMISSIVE = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC",
    "MIT", "MIT-CMU", "PSF-2.0", "Zlib",
}  # fmt: skip
FILE_BY_FILE = {"MPL-2.0"}
"""Licences whose conditions end at their own files: a dependency under one binds nobody who uses it unchanged."""

_SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

_HEAD = """# Licences

Stillwatch is under Apache-2.0 (`LICENSE`). It contains no code of others; these packages are installed
with it, the core ones always, the others with the extras that are named. All are permissive, but for those marked *, whose
conditions end at their own files. `tests/test_licences.py` holds this list to what is installed.

| package | licence | comes with |
| --- | --- | --- |
"""


def normal(name: str) -> str:
    """One spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(package: Distribution) -> str:
    """The licence that a package says it is under, as an SPDX expression."""
    about = package.metadata
    if found := about.get("License-Expression"):
        return str(found)
    classes = [
        line.split(" :: ")[-1] for line in about.get_all("Classifier") or [] if line.startswith("License :: ")
    ]
    said = classes or [str(about.get("License") or "unknown").strip().splitlines()[0]]
    return " OR ".join(sorted({_SPELLINGS.get(each, each) for each in said}))


def parts(expression: str) -> set[str]:
    """The licences that an expression names."""
    return {part.strip("() ") for part in re.split(r" AND | OR ", expression)}


def installed() -> dict[str, tuple[Distribution, list[str]]]:
    """Package -> itself, and what brings it: "core" or extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: dict[str, tuple[Distribution, list[str]]] = {}

    def add(name: str, source: str) -> None:
        package, sources = found.setdefault(normal(name), (distribution(name), []))
        if source in sources:
            return
        sources.append(source)
        for line in package.requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                add(needed.name, source)

    def add_all(lines: list[str], source: str) -> None:
        for needed in map(Requirement, lines):
            if needed.name != project["name"] and (needed.marker is None or needed.marker.evaluate()):
                add(needed.name, source)

    add_all(project["dependencies"], "core")
    for extra, lines in project["optional-dependencies"].items():
        if extra not in NOT_SHIPPED:
            add_all(lines, extra)
    return dict(sorted(found.items()))


def page() -> str:
    """The page as it should be."""
    lines = []
    for name, (package, sources) in installed().items():
        under = licence(package)
        mark = "" if any(parts(choice) <= PERMISSIVE for choice in under.split(" OR ")) else "*"
        lines.append(f"| {name} | {under}{mark} | {'core' if 'core' in sources else ', '.join(sources)} |\n")
    return _HEAD + "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
