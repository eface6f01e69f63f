"""Pictures of the report of a real run: breast tumours that come with scikit-learn, 357 benign and 40 malignant ones.

    PYTHONPATH=. python docs/images/make.py

Needs Chromium and about a minute.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from sklearn.datasets import load_breast_cancer

from tests.browser import Browser

HERE = Path(__file__).parent
COMMAND = ("distill", "tumours.csv", "--label", "malignant", "--train-on", "normal", "-o", "model")
WIDE, NARROW = 1280, 390
FIRST = 1_080  # of the wide page, what a reader sees first


def main() -> None:
    with TemporaryDirectory() as folder:
        write_table(Path(folder) / "tumours.csv")
        program = Path(sys.executable).with_name("stillwatch")
        subprocess.run([program, *COMMAND], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        take_pictures(Path(folder) / "model" / "report.html")


def write_table(path: Path) -> None:
    data = load_breast_cancer()
    benign, malignant = (np.flatnonzero(data.target == kind) for kind in (1, 0))
    rows = np.random.default_rng(0).permutation(np.concatenate([benign, malignant[:40]]))
    names = [str(name).replace(" ", "_") for name in data.feature_names]
    table = pa.table(dict(zip(names, data.data[rows].T, strict=True)))
    pacsv.write_csv(table.append_column("malignant", pa.array(1 - data.target[rows])), path)


def take_pictures(report: Path) -> None:
    with Browser() as browser:
        page = browser.page()
        for width, kind in ((WIDE, "wide"), (NARROW, "narrow")):
            for dark in (False, True):
                page.look(width=width, height=FIRST, dark=dark)
                page.open(report.resolve().as_uri())
                shade = "dark" if dark else "light"
                (HERE / f"report-{kind}-{shade}.png").write_bytes(page.picture(whole=False))
        page.look(width=WIDE, height=FIRST)
        page.open(report.resolve().as_uri())
        page.ask("document.getElementById('alarms').scrollIntoView()")
        (HERE / "report-alarms.png").write_bytes(page.picture(whole=False))


if __name__ == "__main__":
    main()
