"""Tables larger than memory: Parquet to Parquet on processes and on Ray, cost per row by size, and distilling from disk.

Beside them, over the same files: scikit-learn's IsolationForest in processes of its own, and our scorer in Ray Data's
`map_batches`. The data is made up, in a temporary folder (`--folder`, 4 GB). `--docs` writes the figures into docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from protocol import HERE, Log, arguments, table

import stillwatch as sw

COLUMNS = [f"x{j}" for j in range(16)]
CHUNK = 500_000  # rows of a row group
SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 20_000_000)
QUICK = (20_000, 100_000)
PEER_ROWS = {"isolation_forest": 400_000, "ray_data": 2_000_000}
DOCS = HERE.parent / "docs" / "scale.md"
CHART = DOCS.parent / "images" / "scale.png"

SCORE = """
import json, sys, time

began = time.perf_counter()
from stillwatch.scale import engine_named, score_files

ready = time.perf_counter()
first = []

def nothing(context):
    return abs

def told(step, done, total):
    if done and not first:
        first.append(time.perf_counter())

if __name__ == "__main__":
    model, data, out, engine, workers = sys.argv[1:]
    with engine_named(engine, workers=int(workers)) as who:
        list(who.map(nothing, None, [0]))  # starts a cluster, where there is one to start
        running = time.perf_counter()
        found = score_files(model, data, out, engine=who, progress=told)
        done = time.perf_counter()
    print(json.dumps({"rows": found.rows, "parts": len(found.parts), "imports": ready - began,
                      "cluster": running - ready, "first": first[0] - running, "seconds": done - running}))
"""

FOREST = """
import json, sys, time
from multiprocessing import get_context
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from sklearn.ensemble import IsolationForest

def start(train):
    global forest
    forest = IsolationForest(random_state=0, n_jobs=1).fit(train)

def score(piece):
    path, group, columns, out = piece
    rows = pq.ParquetFile(path).read_row_group(group)
    x = np.column_stack([rows[name].to_numpy() for name in columns])
    scores = pa.table({"id": rows["id"], "score": -forest.score_samples(x)})
    pq.write_table(scores, Path(out, f"{Path(path).stem}-{group}.parquet"))
    return len(x)

if __name__ == "__main__":
    folder, out, workers, columns = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4].split(",")
    Path(out).mkdir()
    paths = sorted(Path(folder).glob("*.parquet"))
    first = pq.ParquetFile(paths[0]).read_row_group(0).slice(0, 20_000)
    train = np.column_stack([first[name].to_numpy() for name in columns])
    began = time.perf_counter()
    pieces = [(str(p), g, columns, out) for p in paths for g in range(pq.ParquetFile(p).num_row_groups)]
    with get_context("spawn").Pool(workers, start, (train,)) as pool:
        rows = sum(pool.imap_unordered(score, pieces))
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - began}))
"""

RAY_DATA = """
import json, sys, time
import ray
import stillwatch as sw
model, folder, out, workers = sys.argv[1:]
class Scores:
    def __init__(self):
        self.scorer = sw.load(model)
    def __call__(self, batch):
        verdict = self.scorer.judge(batch)
        columns = {"score": verdict.score, "p_value": verdict.p_value.astype("float32"), "alert": verdict.alert}
        return batch.select(["id"]).append_column("score", [columns["score"]]).append_column(
            "p_value", [columns["p_value"]]).append_column("alert", [columns["alert"]])
ray.init(address="local", num_cpus=int(workers), include_dashboard=False, log_to_driver=False, object_store_memory=2 << 30)
began = time.perf_counter()
rows = ray.data.read_parquet(folder)
rows.map_batches(Scores, batch_format="pyarrow", batch_size=65_536, concurrency=int(workers),
                 num_cpus=0.5).write_parquet(out)
print(json.dumps({"rows": rows.count(), "seconds": time.perf_counter() - began}))
"""

DISTILL = """
import json, resource, sys, time
import pyarrow.parquet as pq
import stillwatch as sw

folder, how = sys.argv[1:]
data = folder if how == "file" else pq.read_table(folder)
began = time.perf_counter()
d = sw.distill(data, label="label")
print(json.dumps({"seconds": time.perf_counter() - began, "steps": d.seconds,
                  "auroc": d.manifest.quality["auroc"]["value"], "spearman": d.manifest.fidelity["spearman"]}))
"""


class Memory(threading.Thread):
    """The most memory that one process of a family held, in MB; processes of Ray itself do not count."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.most, self._over = process, 0.0, threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.1):
            for process in [self.process, *descendants(self.process)]:
                try:
                    command = Path(f"/proc/{process}/cmdline").read_text()
                    status = Path(f"/proc/{process}/status").read_text()
                except OSError:
                    continue
                if "VmHWM:" in status and not any(
                    word in command for word in ("gcs_server", "raylet", "Agent", "/ray/")
                ):
                    self.most = max(self.most, int(status.split("VmHWM:")[1].split()[0]) / 1024)

    def end(self) -> float:
        self._over.set()
        self.join()
        return self.most


def descendants(process: int) -> list[int]:
    found = []
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            direct = [int(child) for child in children.read_text().split()]
        except OSError:
            continue
        for child in direct:
            found += [child, *descendants(child)]
    return found


def measured(code: str, *words: object) -> dict[str, Any]:
    """What a script prints, and the memory of its largest process. It runs from a file, as spawned processes need it."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(code)
        script.flush()
        with subprocess.Popen(
            [sys.executable, script.name, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            memory = Memory(run.pid)
            memory.start()
            out, err = run.communicate()
        held = memory.end()
    if run.returncode:
        raise SystemExit(err)
    return {"megabytes": held, **json.loads(out.splitlines()[-1])}


def make_rows(folder: Path, rows: int, columns: int = 16, *, labelled: bool = False) -> Path:
    """Correlated normal numbers and 1 % of outliers, hard to find where they are labelled; at most 4 million rows a file."""
    target = folder / f"{rows}x{columns}"
    if target.exists():
        return target
    target.mkdir()
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(columns, columns))
    for number, start in enumerate(range(0, rows, 8 * CHUNK)):
        writer = None
        for first in range(start, min(rows, start + 8 * CHUNK), CHUNK):
            size = min(CHUNK, rows - first)
            odd = rng.random(size) < 0.01
            x = rng.normal(size=(size, columns)) @ mix
            x[odd] += (2 if labelled else 6) * rng.normal(size=(int(odd.sum()), columns))
            found: dict[str, Any] = {f"x{j}": x[:, j] for j in range(columns)}
            found |= {"label": odd.astype(np.int8)} if labelled else {"id": np.arange(first, first + size)}
            piece = pa.table(found)
            writer = writer or pq.ParquetWriter(target / f"{number:03}.parquet", piece.schema)
            writer.write_table(piece, row_group_size=CHUNK)
        if writer:
            writer.close()
    return target


def make_model(folder: Path, *, small: bool = False) -> Path:
    """By the default call; small: with two layers of 64 instead, to see what the student costs."""
    target = folder / ("small" if small else "model")
    if not target.exists():
        rows = pq.read_table(make_rows(folder, 20_000))
        student: Any = sw.MLP(hidden=(64, 64)) if small else "auto"
        sw.distill(rows, key=["id"], student=student).save(target)
    return target


def score(folder: Path, rows: int, engine: str, workers: int, *, small: bool = False) -> dict[str, Any]:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    model = make_model(folder, small=small)
    found = measured(SCORE, model, make_rows(folder, rows), out, engine, workers)
    found["student"] = sw.load(model).manifest.student
    found["bytes"] = sum(path.stat().st_size for path in out.glob("part-*"))
    shutil.rmtree(out)
    return found


def tiny_shards(folder: Path, engine: str, workers: int, files: int) -> dict[str, Any]:
    """What a shard costs apart from its rows: files of one row."""
    target = folder / f"tiny-{files}"
    if not target.exists():
        target.mkdir()
        first = target / "00000.parquet"
        pq.write_table(pq.read_table(make_rows(folder, 20_000)).slice(0, 1), first)
        for i in range(1, files):
            os.link(first, target / f"{i:05}.parquet")
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    found = measured(SCORE, make_model(folder), target, out, engine, workers)
    shutil.rmtree(out)
    return found


def peer(folder: Path, name: str, rows: int, workers: int) -> dict[str, Any]:
    out, data = folder / "peer", make_rows(folder, rows)
    shutil.rmtree(out, ignore_errors=True)
    if name == "isolation_forest":
        found = measured(FOREST, data, out, workers, ",".join(COLUMNS))
    else:
        found = measured(RAY_DATA, make_model(folder), data, out, workers)
    shutil.rmtree(out, ignore_errors=True)
    return found


def main() -> None:
    parser: argparse.ArgumentParser = arguments(__doc__ or "")
    parser.add_argument("--folder", type=Path, help="where the rows are made; kept there")
    parser.add_argument(
        "--only", help="one kind of work: score, small, tiny, isolation_forest, ray_data or distill"
    )
    parser.add_argument("--docs", action="store_true", help="write the figures into docs/scale.md")
    options = parser.parse_args()
    log = Log("scale", ("what", "rows", "engine", "workers"), quick=options.quick)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        run(log, folder, quick=options.quick, only=options.only)
    if not {"score", "tiny"} <= {line["what"] for line in log.lines}:
        return
    summary = summarise(log.lines)
    table(
        ("what", "engine", "workers", "rows", "seconds", "rows/s", "MB"),
        [
            (line["what"], line["engine"], line["workers"], f"{line['rows']:,}", line["seconds"],
             f"{line['rows'] / line['seconds']:,.0f}", f"{line['megabytes']:.0f}")
            for line in log.lines
        ],
    )  # fmt: skip
    for name, value in summary.items():
        print(f"{name:40s} {value if isinstance(value, str) else f'{value:.4g}'}")
    log.finish(summary)
    if options.docs:
        write_docs(log.lines, summary)


def run(log: Log, folder: Path, *, quick: bool, only: str | None) -> None:
    sizes = QUICK if quick else SIZES
    most, tiny = sizes[-1], 200 if quick else 2_000
    wanted: list[tuple[str, int, str, int]] = [("score", rows, "local", 1) for rows in (1, *sizes)]
    # A file of one shard is always scored in one process.
    wanted += [("score", rows, "local", 2) for rows in sizes if quick or rows >= 1_000_000]
    wanted += [("score", most, "ray", 2), ("small", most, "local", 2)]
    wanted += [("tiny", tiny, "local", 1), ("tiny", tiny, "local", 2), ("tiny", tiny, "ray", 2)]
    wanted += [("isolation_forest", 20_000 if quick else PEER_ROWS["isolation_forest"], "processes", 2)]
    wanted += [("ray_data", 100_000 if quick else PEER_ROWS["ray_data"], "ray data", 2)]
    wanted += [("distill", 100_000 if quick else 10_000_000, how, 1) for how in ("file", "memory")]
    for what, rows, engine, workers in wanted:
        key = {"what": what, "rows": rows, "engine": engine, "workers": workers}
        if log.done(**key) or only not in (None, what):
            continue
        print(time.strftime("%H:%M:%S"), what, engine, f"{rows:,}", flush=True)
        if what in ("score", "small"):
            # A short run hangs on chance: the median of three.
            runs = [
                score(folder, rows, engine, workers, small=what == "small")
                for _ in range(3 if rows <= 1_000_000 else 1)
            ]
            found = sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]
        elif what == "tiny":
            found = tiny_shards(folder, engine, workers, rows)
        elif what == "distill":
            data = make_rows(folder, rows, 20, labelled=True)
            found = measured(DISTILL, data, engine)
        else:
            found = peer(folder, what, rows, workers)
        log.add(**{**found, **key})


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures that the model of a cluster starts from, and those that were promised; of what was measured."""

    def measured_lines(what: str, engine: str, workers: int) -> list[dict[str, Any]]:
        of_kind = [
            line
            for line in lines
            if (line["what"], line["engine"], line["workers"]) == (what, engine, workers)
        ]
        return sorted(of_kind, key=lambda line: line["rows"])

    def rate(line: dict[str, Any]) -> float:
        return float(line["rows"] / line["seconds"])

    def per_shard(line: dict[str, Any]) -> float:
        return float((line["seconds"] - line["first"]) / line["rows"])

    alone = measured_lines("score", "local", 1)
    local, ray = measured_lines("score", "local", 2)[-1], measured_lines("score", "ray", 2)[-1]
    tiny, tiny_ray = measured_lines("tiny", "local", 1)[-1], measured_lines("tiny", "ray", 2)[-1]
    slope, start = np.polyfit([line["rows"] for line in alone], [line["seconds"] for line in alone], 1)
    summary = {
        "student": f"{local['student']['name']}, {local['student']['parameters']:,} parameters",
        "one_process_rows_per_second": rate(alone[-1]),
        "local_rows_per_second": rate(local),
        "local_megabytes": local["megabytes"],
        "ray_rows_per_second": rate(ray),
        "ray_over_local": rate(ray) / rate(local),
        "seconds_per_row": float(slope),
        "seconds_per_shard": per_shard(tiny),
        "seconds_per_shard_ray": per_shard(tiny_ray),
        "local_start_seconds": max(0.0, float(start)) + alone[0]["imports"],
        "ray_start_seconds": tiny_ray["cluster"] + tiny_ray["first"],
        "bytes_out_per_row": local["bytes"] / local["rows"],
    }
    for name, key in (
        ("small_student", ("small", "local", 2)),
        ("isolation_forest", ("isolation_forest", "processes", 2)),
        ("ray_data", ("ray_data", "ray data", 2)),
    ):
        for line in measured_lines(*key)[-1:]:
            summary[f"{name}_rows_per_second"] = rate(line)
    for name, how in (("distill", "file"), ("distill_in_memory", "memory")):
        for line in measured_lines("distill", how, 1)[-1:]:
            summary |= {f"{name}_{key}": line[key] for key in ("seconds", "megabytes", "auroc")}
    return summary


def draw(lines: list[dict[str, Any]]) -> None:
    """Seconds by rows and, for one process, the cost of a row after the start; all logarithmic."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, (upper, lower) = plt.subplots(2, 1, figsize=(6.4, 6.4), sharex=True, layout="constrained")
    for workers, name, colour in ((1, "one process", "#0b6e99"), (2, "two processes", "#b5541c")):
        mine = [line for line in lines if line["workers"] == workers and line["rows"] > 1]
        rows = np.array([line["rows"] for line in mine])
        seconds = np.array([line["seconds"] for line in mine])
        upper.loglog(rows, seconds, "o-", color=colour, label=name)
        upper.loglog(rows, seconds[-1] * rows / rows[-1], ":", color=colour)
        if workers == 1:
            cost = [microseconds_after_start(line, lines) for line in mine]
            lower.loglog(rows, cost, "o-", color=colour, label=name)
    upper.set(ylabel="seconds (dotted: in proportion)")
    lower.set(xlabel="rows", ylabel="µs a row, after the start", ylim=(0.1, 10))
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.legend()
    CHART.parent.mkdir(exist_ok=True)
    figure.savefig(CHART, dpi=120, metadata={"Software": None})


def microseconds_after_start(line: dict[str, Any], lines: list[dict[str, Any]]) -> float:
    """Of a row in one process, without what a run over one row takes: reading the model, the plan, the folder."""
    start = next(other["seconds"] for other in lines if other["rows"] == 1)
    return float(1e6 * (line["seconds"] - start) / line["rows"])


def write_docs(lines: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    """Draw the chart, and replace what stands between the marks in docs/scale.md."""
    ours = [line for line in lines if line["what"] == "score" and line["engine"] == "local"]
    draw(ours)
    names = {
        "score": "score",
        "small": "score, a student of 2 x 64",
        "isolation_forest": "scikit-learn IsolationForest",
        "ray_data": "Ray Data `map_batches`",
    }
    rows = [
        "| work | engine | workers | rows | seconds | rows/s | µs a row | after the start | MB of the largest process |"
    ]
    rows.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    rows += [
        f"| {names[line['what']]} | {line['engine']} | {line['workers']} | {line['rows']:,} | {line['seconds']:.2f} | "
        f"{line['rows'] / line['seconds']:,.0f} | {1e6 * line['seconds'] / line['rows']:.2f} | "
        f"{_after_start(line, ours)} | {line['megabytes']:.0f} |"
        for line in lines
        if line["what"] in names and line["rows"] > 1
    ]
    rows += [
        "",
        f'The model is the default call\'s: {summary["student"]}. "After the start" is µs a row without what a run over one row '
        "takes.",
        "",
        "![Seconds and microseconds a row by rows, all logarithmic](images/scale.png)",
        "",
        f"Ray, once it runs, reaches {summary['ray_over_local']:.2f} of the rate of local processes on the same cores. "
        f"A shard costs {1e3 * summary['seconds_per_shard']:.1f} ms besides its rows. "
        f"The start takes {summary['local_start_seconds']:.1f} s in one process, and "
        f"{summary['ray_start_seconds']:.1f} s on a Ray of our own. A row of scores takes "
        f"{summary['bytes_out_per_row']:.1f} bytes.",
        "",
    ]
    if "distill_auroc" in summary:
        rows.append(
            f"`distill` on 10,000,000 x 20 rows of Parquet: {summary['distill_seconds']:.0f} s and "
            f"{summary['distill_megabytes']:,.0f} MB, AUROC {summary['distill_auroc']:.4f}"
            + (
                f"; on the same rows in memory {summary['distill_in_memory_auroc']:.4f}."
                if "distill_in_memory_auroc" in summary
                else "."
            )
        )
    text = DOCS.read_text()
    begin, end = "<!-- figures of benchmarks/scale.py -->", "<!-- end of figures -->"
    before, _, rest = text.partition(begin)
    DOCS.write_text(before + begin + "\n" + "\n".join(rows) + "\n" + end + rest.partition(end)[2])


def _after_start(line: dict[str, Any], ours: list[dict[str, Any]]) -> str:
    return f"{microseconds_after_start(line, ours):.2f}" if line in ours and line["workers"] == 1 else ""


if __name__ == "__main__":
    main()
