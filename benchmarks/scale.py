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
from protocol import HERE, RESULTS, Log, arguments, table

import stillwatch as sw

COLUMNS = [f"x{j}" for j in range(16)]
CHUNK = 500_000  # rows of a row group
SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 20_000_000)
QUICK = (20_000, 100_000)
PEER_ROWS = {"isolation_forest": 400_000, "ray_data": 2_000_000}
DOCS = HERE.parent / "docs" / "scale.md"

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
    """Correlated normal numbers with 1 % of outliers, in files of 4 million rows at most."""
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
            x[odd] += 6 * rng.normal(size=(int(odd.sum()), columns))
            found: dict[str, Any] = {f"x{j}": x[:, j] for j in range(columns)}
            found |= {"label": odd.astype(np.int8)} if labelled else {"id": np.arange(first, first + size)}
            piece = pa.table(found)
            writer = writer or pq.ParquetWriter(target / f"{number:03}.parquet", piece.schema)
            writer.write_table(piece, row_group_size=CHUNK)
        if writer:
            writer.close()
    return target


def make_model(folder: Path) -> Path:
    target = folder / "model"
    if not target.exists():
        rows = pq.read_table(make_rows(folder, 20_000))
        sw.distill(rows, key=["id"], teacher="knn", assume_normal=True).save(target)
    return target


def score(folder: Path, rows: int, engine: str, workers: int) -> dict[str, Any]:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    found = measured(SCORE, make_model(folder), make_rows(folder, rows), out, engine, workers)
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
    parser.add_argument("--docs", action="store_true", help="write the figures into docs/scale.md")
    options = parser.parse_args()
    log = Log("scale", ("what", "rows", "engine", "workers"), quick=options.quick)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        run(log, folder, quick=options.quick)
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
        print(f"{name:40s} {value:.4g}")
    log.finish(summary)
    chart = log.path.with_suffix(".svg")
    chart.write_text(
        drawn([line for line in log.lines if line["what"] == "score" and line["engine"] == "local"])
    )
    if options.docs:
        write_docs(log.lines, summary)


def run(log: Log, folder: Path, *, quick: bool) -> None:
    sizes = QUICK if quick else SIZES
    most = sizes[-1]
    wanted: list[tuple[str, int, str, int]] = [("score", rows, "local", 2) for rows in sizes]
    wanted += [("score", rows, "local", 1) for rows in (sizes if quick else sizes[:-1])]
    wanted += [("score", most, "ray", 2), ("tiny", 200 if quick else 2_000, "local", 1)]
    wanted += [("tiny", 200 if quick else 2_000, "local", 2), ("tiny", 200 if quick else 2_000, "ray", 2)]
    wanted += [("isolation_forest", 20_000 if quick else PEER_ROWS["isolation_forest"], "processes", 2)]
    wanted += [("ray_data", 100_000 if quick else PEER_ROWS["ray_data"], "ray data", 2)]
    wanted += [("distill", 100_000 if quick else 10_000_000, how, 1) for how in ("file", "memory")]
    for what, rows, engine, workers in wanted:
        key = {"what": what, "rows": rows, "engine": engine, "workers": workers}
        if log.done(**key):
            continue
        print(time.strftime("%H:%M:%S"), what, engine, f"{rows:,}", flush=True)
        if what == "score":
            found = score(folder, rows, engine, workers)
        elif what == "tiny":
            found = tiny_shards(folder, engine, workers, rows)
        elif what == "distill":
            data = make_rows(folder, rows, 20, labelled=True)
            found = measured(DISTILL, data, engine)
        else:
            found = peer(folder, what, rows, workers)
        log.add(**{**found, **key})


def summarise(lines: list[dict[str, Any]]) -> dict[str, float]:
    """The figures that the model of a cluster starts from, and those that were promised."""

    def one(what: str, engine: str, workers: int) -> dict[str, Any]:
        found = [
            line
            for line in lines
            if (line["what"], line["engine"], line["workers"]) == (what, engine, workers)
        ]
        return max(found, key=lambda line: line["rows"])

    def rate(line: dict[str, Any]) -> float:
        return line["rows"] / line["seconds"]

    def per_shard(line: dict[str, Any]) -> float:
        return (line["seconds"] - line["first"]) / line["rows"]

    local, ray = one("score", "local", 2), one("score", "ray", 2)
    alone = [
        line for line in lines if (line["what"], line["engine"], line["workers"]) == ("score", "local", 1)
    ]
    slope, start = np.polyfit([line["rows"] for line in alone], [line["seconds"] for line in alone], 1)
    forest, data = one("isolation_forest", "processes", 2), one("ray_data", "ray data", 2)
    file, memory = one("distill", "file", 1), one("distill", "memory", 1)
    return {
        "local_rows_per_second": rate(local),
        "local_megabytes": local["megabytes"],
        "ray_rows_per_second": rate(ray),
        "ray_over_local": rate(ray) / rate(local),
        "isolation_forest_rows_per_second": rate(forest),
        "local_over_isolation_forest": rate(local) / rate(forest),
        "ray_data_rows_per_second": rate(data),
        "local_over_ray_data": rate(local) / rate(data),
        "seconds_per_row": float(slope),
        "seconds_per_shard": per_shard(one("tiny", "local", 1)),
        "seconds_per_shard_ray": per_shard(one("tiny", "ray", 2)),
        "local_start_seconds": max(0.0, float(start)) + alone[0]["imports"],
        "ray_start_seconds": one("tiny", "ray", 2)["cluster"] + one("tiny", "ray", 2)["first"],
        "bytes_out_per_row": local["bytes"] / local["rows"],
        "distill_seconds": file["seconds"],
        "distill_megabytes": file["megabytes"],
        "distill_auroc": file["auroc"],
        "distill_auroc_in_memory": memory["auroc"],
    }


def drawn(lines: list[dict[str, Any]]) -> str:
    """Seconds by rows, both logarithmic, with a line of constant cost per row through the largest point."""
    width, height, left, low = 560, 360, 70, 50
    x0, x1, y0, y1 = 4.0, 7.6, -1.5, 2.0

    def place(rows: float, seconds: float) -> tuple[float, float]:
        across = (np.log10(rows) - x0) / (x1 - x0)
        up = (np.log10(seconds) - y0) / (y1 - y0)
        return left + across * (width - left - 20), (height - low) - up * (height - low - 20)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for power in range(4, 8):
        x, y = place(10.0**power, 10.0**y0)
        parts.append(f'<line x1="{x:.1f}" y1="20" x2="{x:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{10**power:,}</text>')
    for power in range(-1, 3):
        x, y = place(10.0**x0, 10.0**power)
        parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{width - 20}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 10}" text-anchor="middle">rows</text>')
    parts.append(
        f'<text x="16" y="{height / 2}" transform="rotate(-90 16 {height / 2})" text-anchor="middle">seconds</text>'
    )
    for number, (workers, colour) in enumerate(((1, "#0b6e99"), (2, "#b5541c"))):
        points = sorted((line["rows"], line["seconds"]) for line in lines if line["workers"] == workers)
        if not points:
            continue
        flat = [place(rows, points[-1][1] * rows / points[-1][0]) for rows in (3e4, points[-1][0])]
        ends = " ".join(f"{x:.1f},{y:.1f}" for x, y in flat)
        parts.append(f'<polyline points="{ends}" fill="none" stroke="{colour}" stroke-dasharray="4 4"/>')
        for x, y in (place(*point) for point in points):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        text = f"{workers} process{'es' if workers > 1 else ''}; dashed: the same cost for every row"
        parts.append(f'<text x="{left + 14}" y="{36 + 16 * number}" fill="{colour}">{text}</text>')
    return "\n".join([*parts, "</svg>", ""])


def write_docs(lines: list[dict[str, Any]], summary: dict[str, float]) -> None:
    """Replace what stands between the marks in docs/scale.md."""
    shutil.copy(RESULTS / "scale.svg", DOCS.parent / "scale.svg")
    rows = ["| work | engine | workers | rows | seconds | rows/s | µs a row | MB of the largest process |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    names = {
        "score": "score",
        "isolation_forest": "scikit-learn IsolationForest",
        "ray_data": "Ray Data `map_batches`",
    }
    rows += [
        f"| {names[line['what']]} | {line['engine']} | {line['workers']} | {line['rows']:,} | {line['seconds']:.2f} | "
        f"{line['rows'] / line['seconds']:,.0f} | {1e6 * line['seconds'] / line['rows']:.2f} | {line['megabytes']:.0f} |"
        for line in lines
        if line["what"] in names
    ]
    rows += [
        "",
        "![Seconds by rows, both logarithmic](scale.svg)",
        "",
        f"Ray, once it runs, reaches {summary['ray_over_local']:.2f} of the rate of local processes on the same cores.",
        f"A shard costs {1e3 * summary['seconds_per_shard']:.1f} ms besides its rows.",
        f"The start takes {summary['local_start_seconds']:.1f} s in one process, and",
        f"{summary['ray_start_seconds']:.1f} s on a Ray of our own. A row of scores takes",
        f"{summary['bytes_out_per_row']:.0f} bytes.",
        "",
        f"`distill` on 10,000,000 x 20 rows of Parquet: {summary['distill_seconds']:.0f} s and "
        f"{summary['distill_megabytes']:,.0f} MB, AUROC {summary['distill_auroc']:.4f}; on the same rows in memory "
        f"{summary['distill_auroc_in_memory']:.4f}.",
    ]
    text = DOCS.read_text()
    begin, end = "<!-- figures of benchmarks/scale.py -->", "<!-- end of figures -->"
    before, _, rest = text.partition(begin)
    DOCS.write_text(before + begin + "\n" + "\n".join(rows) + "\n" + end + rest.partition(end)[2])


if __name__ == "__main__":
    main()
