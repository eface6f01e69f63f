"""What may import what, and what must not stand anywhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "stillwatch"

BASE = {"errors"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "unfinished": set(),
    "interrupts": set(),
    "graph": set(),
    "table": BASE | {"unfinished"},
    "calibration": BASE,
    "artifact": BASE | {"table", "calibration", "drift", "explain", "interrupts", "unfinished"},
    "explain": BASE | {"table"},
    "drift": BASE | {"table"},
    "one_row": BASE | {"artifact", "table"},
    "scorer": BASE | {"artifact", "calibration", "drift", "explain", "one_row", "table"},
    "evaluation": BASE | {"artifact", "calibration"},
    "evaluate": BASE | {"calibration", "evaluation", "scorer", "table"},
    "recalibrate": BASE
    | {"artifact", "calibration", "drift", "evaluation", "scorer", "table", "__version__"},
    "features": BASE | {"graph", "table"},
    "teachers": BASE | {"training"},
    "knowledge": BASE | {"features", "teachers", "unfinished"},
    "training": BASE,
    "students": BASE | {"evaluation", "graph", "knowledge", "training"},
    "distillation": BASE
    | {
        "artifact",
        "calibration",
        "drift",
        "evaluation",
        "explain",
        "features",
        "graph",
        "knowledge",
        "scorer",
        "students",
        "table",
        "teachers",
        "training",
        "__version__",
    },
    "networks": BASE
    | {
        "artifact",
        "distillation",
        "evaluation",
        "features",
        "graph",
        "knowledge",
        "scorer",
        "students",
        "table",
        "teachers",
        "training",
    },
    "serve": BASE | {"artifact", "calibration", "drift", "explain", "scorer", "table", "__version__"},
    "scores": BASE | {"table"},
    "stream": BASE | {"calibration", "scorer", "scores", "table"},
    "scale": BASE | {"artifact", "calibration", "scorer", "scores", "table", "unfinished"},
    "compat": BASE | {"calibration", "distillation"},
    "diff": BASE | {"artifact", "calibration", "evaluation", "scorer", "table"},
    "export": BASE | {"artifact", "calibration", "table", "__version__"},
    "cli": BASE
    | {
        "diff",
        "export",
        "scale",
        "scores",
        "serve",
        "stream",
        "artifact",
        "calibration",
        "distillation",
        "drift",
        "evaluate",
        "evaluation",
        "recalibrate",
        "scorer",
        "students",
        "table",
        "teachers",
        "__version__",
    },
}
FOREIGN: dict[str, set[str]] = {
    "torch": {"training", "students", "teachers", "networks", "cli"},
    "sklearn": {"teachers", "cli", "compat"},
    "scipy": {"teachers"},
    "lightgbm": {"students"},
    "pyod": {"teachers", "compat"},
    "jinja2": {"evaluation"},
    "rich": {"cli", "evaluation"},
    "typer": {"cli"},
    "ray": {"scale"},
    "starlette": {"serve"},
    "uvicorn": {"serve"},
    "prometheus_client": {"serve"},
    "threadpoolctl": {"scale"},
}


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, also inside functions, type checking aside."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files() -> list[Path]:
    return sorted(path for path in SRC.rglob("*.py") if path != SRC / "__init__.py")


def package(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SRC)))
def test_imports_go_one_way(path: Path) -> None:
    home = package(path)
    assert home in MAY_IMPORT, f"{home} is new: say in MAY_IMPORT what it may import"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "stillwatch":
            target = parts[1] if len(parts) > 1 else ""
            allowed = MAY_IMPORT[home] | {home}
            assert (
                target in allowed
                or (home == "cli" and not target)
                or (home == "cli" and target in {"distill", "MLP"})
            ), f"{home} must not import {name}"
        elif parts[0] in FOREIGN:
            assert home in FOREIGN[parts[0]], f"{parts[0]} belongs to {FOREIGN[parts[0]]}"


def test_nothing_unpickles_or_evaluates() -> None:
    bad = re.compile(
        r"\b(pickle|joblib|marshal|cloudpickle|dill)\b|torch\.load\((?!.*weights_only=True)|allow_pickle=True|(?<![.\w])(eval|exec)\("
    )
    for path in files():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not bad.search(line.split("#")[0]), f"{path}:{number}"


def test_no_data_set_is_known_to_the_product(real_data: Path) -> None:
    """Neither a set's name nor a column's; words that a table of any kind may hold do not count."""
    import gzip

    names = {
        re.sub(r"^\d+_", "", path.name.partition(".")[0])
        for path in real_data.rglob("*")
        if path.suffix in {".gz", ".npz"}
    }
    for path in real_data.rglob("*.csv.gz"):
        with gzip.open(path, "rt") as file:
            names |= set(file.readline().strip().split(","))
    common = {
        "fault",
        "letter",
        "glass",
        "age",
        "sex",
        "count",
        "land",
        "class",
        "time",
        "month",
        "make",
        "flag",
        "service",
    }
    common |= {"label", "anomaly", "attack", "year", "hot", "sick", "duration", "amount", "README", "http"}
    telling = {name for name in names if len(name) > 3 and name.lower() not in common}
    assert len(telling) > 60
    text = "\n".join(path.read_text() for path in [*files(), SRC / "__init__.py"])
    found = {
        name for name in telling if re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", text, re.IGNORECASE)
    }
    assert not found


def test_importing_has_no_side_effects_and_is_light() -> None:
    code = (
        "import sys, os, logging\n"
        "level, environment = logging.getLogger().level, dict(os.environ)\n"
        "import stillwatch\n"
        "assert not {'torch', 'sklearn', 'scipy', 'pandas', 'jinja2'} & set(sys.modules)\n"
        "assert (level, environment) == (logging.getLogger().level, dict(os.environ))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
