"""Peak memory of commands over tables that are long or wide, beside scikit-learn's IsolationForest over the same file.

Protocol: 20 columns of numbers in one Parquet file, scored to another; ten times the rows should take no more memory. Each way
is a process of its own, whose largest resident set the kernel reports when it ends. The peer comes twice: `batches` reads and
writes batch by batch, as we do, and so is the fair one for memory and speed; `whole` is what most scripts do, one `read` and one
`score_samples`. 3,000 columns are read by `inspect`, as Parquet and as CSV. All on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from protocol import Log, arguments, table

ROWS, COLUMNS = 10_000_000, 20
WIDE_ROWS, WIDE_COLUMNS = 20_000, 3_000
PIECE = 65_536
HERE = [sys.executable, __file__]
STILLWATCH = str(Path(sys.executable).with_name("stillwatch"))


def peak(command: list[str]) -> dict[str, float]:
    """Run a command; seconds and MB of its largest resident set."""
    # The kernel counts what a process inherits at its start: this one must be small, so that all work is done by others.
    began = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        said = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)}\n{said.decode()}")
    return {"seconds": perf_counter() - began, "peak_mb": usage.ru_maxrss / 1024}


def make_table(path: Path, rows: int, columns: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    rng = np.random.default_rng(rows)
    schema = pa.schema([(f"x{j}", pa.float64()) for j in range(columns)])
    piece = max(1, (PIECE * COLUMNS) // columns)
    with (pacsv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter)(path, schema) as writer:
        for start in range(0, rows, piece):
            values = rng.normal(size=(columns, min(piece, rows - start))).round(3)
            writer.write_table(pa.table(list(values), schema=schema))


def make_model(path: Path) -> None:
    import numpy as np

    import stillwatch as sw

    x = np.random.default_rng(0).normal(size=(5_000, COLUMNS))
    rows = [dict(zip((f"x{j}" for j in range(COLUMNS)), row)) for row in x.tolist()]
    sw.distill(rows, teacher="knn", assume_normal=True).save(path)


def forest(source: Path, target: Path, *, whole: bool) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(random_state=0).fit(np.random.default_rng(0).normal(size=(5_000, COLUMNS)))
    with pq.ParquetFile(source) as file, pq.ParquetWriter(target, pa.schema([("score", "f8")])) as writer:
        for part in [file.read()] if whole else file.iter_batches(PIECE):
            x = np.column_stack([column.to_numpy() for column in part.columns])
            writer.write_table(pa.table({"score": -model.score_samples(x)}))


def commands(folder: Path) -> dict[str, list[str]]:
    source, target = str(folder / "long.parquet"), str(folder / "scores.parquet")
    return {
        "stillwatch score": [STILLWATCH, "score", str(folder / "model"), source, "-o", target, "--overwrite"],
        "stillwatch inspect": [STILLWATCH, "inspect", source],
        "isolation forest, batches": [*HERE, "--forest", "batches", source, target],
        "isolation forest, whole": [*HERE, "--forest", "whole", source, target],
    }


def run(log: Log, *, quick: bool) -> None:
    sizes = [100_000, 200_000] if quick else [ROWS // 10, ROWS]
    wide = WIDE_ROWS // 20 if quick else WIDE_ROWS
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([*HERE, "--model", folder / "model"], check=True)
        for rows in sizes:
            measure(log, folder / "long.parquet", rows, COLUMNS, commands(folder))
        for path in (folder / "wide.parquet", folder / "wide.csv"):
            for rows in (wide // 10, wide):
                ways = {f"stillwatch inspect, {path.suffix[1:]}": [STILLWATCH, "inspect", str(path)]}
                measure(log, path, rows, WIDE_COLUMNS, ways)


def measure(log: Log, path: Path, rows: int, columns: int, ways: dict[str, list[str]]) -> None:
    left = [way for way in ways if not log.done(way=way, rows=rows, columns=columns)]
    if left:
        subprocess.run([*HERE, "--table", path, str(rows), str(columns)], check=True)
    for way in left:
        found = peak(ways[way])
        log.add(way=way, rows=rows, columns=columns, rows_per_second=rows / found["seconds"], **found)
    path.unlink(missing_ok=True)


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    most = max(line["rows"] for line in lines)
    return {
        line["way"]: {name: line[name] for name in ("peak_mb", "rows_per_second")}
        for line in lines
        if line["rows"] == most
    } | {"under_1_gb": all(line["peak_mb"] < 1000 for line in lines if line["way"] == "stillwatch score")}


def main() -> None:
    steps = argparse.ArgumentParser(add_help=False)
    for step, count in (("--table", 3), ("--model", 1), ("--forest", 3)):
        steps.add_argument(step, nargs=count, help=argparse.SUPPRESS)
    step, rest = steps.parse_known_args()
    if step.table:
        make_table(Path(step.table[0]), int(step.table[1]), int(step.table[2]))
    elif step.model:
        make_model(Path(step.model[0]))
    elif step.forest:
        how, source, target = step.forest
        forest(Path(source), Path(target), whole=how == "whole")
    else:
        options = arguments(__doc__ or "").parse_args(rest)
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        log = Log("memory", ("way", "rows", "columns"), quick=options.quick)
        run(log, quick=options.quick)
        headings = ("way", "rows", "columns", "peak_mb", "rows_per_second", "seconds")
        table(headings, [[line[name] for name in headings] for line in log.lines])
        summary = summarise(log.lines)
        print(json.dumps(summary, indent=1))
        log.finish(summary)


if __name__ == "__main__":
    main()
