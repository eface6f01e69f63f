"""What every benchmark shares: the data sets and their split, results that append and resume, and a table."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import stillwatch
from stillwatch.table.pack import Packer
from stillwatch.table.pack import Rows as Packed
from stillwatch.table.read import open_source
from stillwatch.table.schema import infer_schema

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SOURCES = Path(stillwatch.__file__).parent
MOST_ROWS = 10_000
FEWEST_ANOMALIES = 50
# Sources on the way to a teacher, and to a student of it.
TO_TEACHER = ("table", "features", "teachers", "calibration", "distillation/split.py")
TO_STUDENT = (
    *TO_TEACHER,
    "knowledge",
    "students",
    "training",
    "distillation",
    "graph.py",
    "evaluation/fidelity.py",
    "scorer.py",
)


class Rows(NamedTuple):
    """One split of one set; label 1 = anomaly."""

    train: NDArray[np.float64]
    test: NDArray[np.float64]
    labels: NDArray[np.int64]
    train_labels: NDArray[np.int64]  # for confirming a few; no detector sees them


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a small part, to see that it runs")
    parser.add_argument(
        "--data", type=Path, default=None, help="folder of the data sets (or STILLWATCH_DATA)"
    )
    return parser


def data_folder(given: Path | None) -> Path:
    folder = given or Path(os.environ.get("STILLWATCH_DATA", HERE / ".." / ".." / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not there: pass --data DIR or set STILLWATCH_DATA")
    return folder


def sets(folder: Path, *, eight: bool = False) -> list[Path]:
    """The development sets, by their number; or eight of the twenty, by their place."""
    found = sorted((folder / "adbench").glob("*.npz"), key=lambda path: int(path.name.partition("_")[0]))
    return [path for place, path in enumerate(found) if not eight or place % 5 == 0 or place % 4 == 1]


def split(path: Path, *, regime: str, seed: int) -> Rows:
    """clean: train on half of the normal rows. contaminated: train on 70 % of everything. Test on the rest."""
    with np.load(path) as stored:
        x, y = stored["X"].astype(np.float64), stored["y"].ravel().astype(np.int64)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    x, y = x[order], y[order]
    if regime == "clean":
        normal, anomalies = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
        half = len(normal) // 2
        train, test = normal[:half], np.concatenate([normal[half:], anomalies])
    else:
        cut = int(0.7 * len(x))
        train, test = np.arange(cut), np.arange(cut, len(x))
    train, test = _capped(train, y, rng), _capped(test, y, rng)
    return Rows(x[train], x[test], y[test], y[train])


def _capped(index: NDArray[np.int64], y: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    if len(index) <= MOST_ROWS:
        return index
    anomalies, normal = index[y[index] == 1], index[y[index] == 0]
    kept = min(len(anomalies), max(FEWEST_ANOMALIES, round(MOST_ROWS * len(anomalies) / len(index))))
    return np.concatenate(
        [rng.choice(anomalies, kept, replace=False), rng.choice(normal, MOST_ROWS - kept, replace=False)]
    )


def metrics(labels: NDArray[np.int64], scores: NDArray[Any]) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "average_precision": float(average_precision_score(labels, scores)),
    }


@cache
def sources(parts: tuple[str, ...]) -> str:
    """Digest of the sources that a figure depends on: while it stays, so does the figure."""
    digest = hashlib.sha256()
    for part in parts:
        found = SOURCES / part
        for path in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
            digest.update(path.read_bytes())
    return f"sources {digest.hexdigest()[:12]}"


def of_student(line: dict[str, Any]) -> str:
    """What made the student of a line."""
    return sources(TO_STUDENT)


def packed(x: NDArray[np.float64], packer: Packer | None = None) -> tuple[Packer, Packed]:
    """The rows as `sw.distill` reads them; `packer` is that of the training rows, None where these are they."""
    source = open_source(x)
    packer = packer or Packer(infer_schema(source))
    return packer, packer.table(pa.Table.from_batches(source.batches()))


def about() -> dict[str, Any]:
    """Commit, versions and machine, so that a figure can be made again."""
    packages = ("stillwatch", "numpy", "onnxruntime", "onnx", "torch", "scikit-learn", "pyod", "pyarrow")
    return {
        "commit": _git("rev-parse", "--short=12", "HEAD")
        + ("+changes" if _git("status", "--porcelain", ":/src") else ""),
        "versions": {name: version(name) for name in packages} | {"python": platform.python_version()},
        "cores": len(os.sched_getaffinity(0)),
    }


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=HERE, capture_output=True, text=True, check=False
    ).stdout.strip()


class Log:
    """JSON lines that are appended as they come; a rerun at the same commit skips what is there.

    With `made_by`, which says what a line was made by, one of another commit still counts while that is the same.
    """

    def __init__(
        self,
        name: str,
        keys: tuple[str, ...],
        *,
        quick: bool = False,
        made_by: Callable[[dict[str, Any]], str] | None = None,
    ) -> None:
        self.path = RESULTS / f"{name}{'.quick' if quick else ''}.jsonl"
        self._keys = keys
        self._about = about()
        self.path.parent.mkdir(exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self._made_by = made_by
        self.lines = [line for line in map(json.loads, lines) if self._stands(line)]

    def _stands(self, line: dict[str, Any]) -> bool:
        if self._made_by is None:
            return bool(line["commit"] == self._about["commit"])
        return line.get("made_by") == self._made_by(line)

    def done(self, **key: Any) -> bool:
        return any(all(line[name] == key[name] for name in self._keys) for line in self.lines)

    def add(self, **line: Any) -> None:
        if self._made_by is not None:
            line["made_by"] = self._made_by(line)
        line["commit"] = self._about["commit"]
        self.lines.append(line)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary beside the lines."""
        report = {"summary": summary, **self._about, "lines": self.lines}
        self.path.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")


def table(headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print columns; figures to four digits."""
    text = [[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    head = list(headings)
    widths = [max(len(row[i]) for row in [head, *text]) for i in range(len(head))]
    for row in [head, *text]:
        print(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths))
            )
        )
