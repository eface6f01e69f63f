"""What a distillation costs from a file to a saved model: seconds by step, and the most memory held.

Each case is a process of its own over a Parquet file of made-up rows: correlated normal numbers, 1 % of them outliers. `start` is
what Python and the imports take, `save` the report and the folder; both count. Nothing else may run beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from protocol import Log, arguments, table

CASES = {  # (rows, columns, teacher): seconds, and MB, that it may take
    (200, 5, "knn"): (None, None),
    (200, 5, "auto"): (None, None),
    (10_000, 30, "knn"): (20.0, None),
    (10_000, 30, "auto"): (45.0, None),
    (1_000_000, 30, "knn"): (60.0, 3_000.0),
    (1_000_000, 30, "auto"): (150.0, 3_000.0),
}
STEPS = (
    "start",
    "read",
    "features",
    "fit teacher",
    "ask teacher",
    "train student",
    "evaluate",
    "export",
    "save",
)

CASE = """
import json, resource, sys, time
began = time.perf_counter()
import stillwatch as sw

if __name__ == "__main__":
    data, teacher, out = sys.argv[1:]
    sw.distill
    imported = time.perf_counter()
    d = sw.distill(data, teacher=teacher)
    distilled = time.perf_counter()
    d.save(out)
    done = time.perf_counter()
    print(json.dumps({
        "start": imported - began, **d.seconds, "save": done - distilled, "distill": distilled - imported,
        "seconds": done - began, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "student": d.manifest.student, "spearman": d.manifest.fidelity["spearman"]}))
"""


def make_rows(path: Path, rows: int, columns: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(rows)
    mix = rng.normal(size=(columns, columns))
    schema = pa.schema([(f"x{j}", pa.float64()) for j in range(columns)])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 100_000):
            size = min(100_000, rows - start)
            odd = rng.random(size) < 0.01
            x = rng.normal(size=(size, columns)) @ mix
            x[odd] += 6 * rng.normal(size=(int(odd.sum()), columns))
            writer.write_table(pa.table(list(x.T), schema=schema))


def measured(folder: Path, rows: int, columns: int, teacher: str) -> dict[str, Any]:
    data, script = folder / f"{rows}x{columns}.parquet", folder / "case.py"
    if not data.exists():
        # Made elsewhere, so that this process stays small: a child starts with its parent's peak.
        subprocess.run([sys.executable, __file__, "--make", data, str(rows), str(columns)], check=True)
    script.write_text(CASE)
    began = perf_counter()
    run = subprocess.run(
        [sys.executable, script, data, teacher, folder / f"{rows}-{teacher}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    return {**json.loads(run.stdout.splitlines()[-1]), "process": perf_counter() - began}


def main() -> None:
    if sys.argv[1:2] == ["--make"]:
        make_rows(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        return
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", help="a teacher, or the number of rows")
    options = parser.parse_args()
    log = Log("cost", ("rows", "columns", "teacher"), quick=options.quick)
    cases = list(CASES)[:2] if options.quick else list(CASES)
    with tempfile.TemporaryDirectory() as temporary:
        for rows, columns, teacher in cases:
            key = {"rows": rows, "columns": columns, "teacher": teacher}
            if log.done(**key) or (options.only and options.only not in (teacher, str(rows))):
                continue
            log.add(**{**measured(Path(temporary), rows, columns, teacher), **key})
    headings = ("rows", "columns", "teacher", *STEPS, "seconds", "allowed", "MB", "student")
    lines = sorted(log.lines, key=lambda line: (line["rows"], line["teacher"] == "auto"))
    table(headings, [_cells(line) for line in lines])
    log.finish({f"{line['teacher']} {line['rows']}x{line['columns']}": _summary(line) for line in lines})


def _cells(line: dict[str, Any]) -> list[str]:
    allowed, _ = CASES[line["rows"], line["columns"], line["teacher"]]
    steps = [f"{line.get(step, 0):.2f}" for step in STEPS]
    key = [f"{line['rows']:,}", str(line["columns"]), line["teacher"]]
    end = [f"{line['seconds']:.1f}", f"{allowed or '':}", f"{line['megabytes']:.0f}", line["student"]["name"]]
    return key + steps + end


def _summary(line: dict[str, Any]) -> dict[str, Any]:
    seconds, megabytes = CASES[line["rows"], line["columns"], line["teacher"]]
    return {
        "seconds": line["seconds"],
        "allowed_seconds": seconds,
        "megabytes": line["megabytes"],
        "allowed_megabytes": megabytes,
        "student": line["student"]["name"],
        "spearman": line["spearman"],
    }


if __name__ == "__main__":
    main()
