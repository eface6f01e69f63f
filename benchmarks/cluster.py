"""10^9 rows on a cluster, simulated from what a row, a shard and a start were measured to cost (benchmarks/results/scale.json).

Workers take the next shard when they are done with one, as our engines have it. Machines differ in speed, now and then a shard is
slow for no reason, workers die in the middle of a shard and come back, and the whole run may be cut short once and go on. It
prints a table and writes benchmarks/results/cluster.json; `--docs` puts the table into docs/scale.md.
"""

from __future__ import annotations

import argparse
import heapq
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from protocol import HERE, RESULTS, table

ROWS = 1_000_000_000
DOCS = HERE.parent / "docs" / "scale.md"


@dataclass(frozen=True)
class Costs:
    """Seconds, on one core of the machine that was measured."""

    row: float
    shard: float
    start: float  # of a worker: its process, its imports, its session
    cluster: float  # before the first worker starts


@dataclass(frozen=True)
class Trouble:
    """What goes wrong.

    Attributes
    ----------
    spread
        standard deviation of the logarithm of a machine's speed.
    slow
        share of the shards that take `slowness` times as long.
    deaths
        a worker's deaths an hour.
    """

    spread: float = 0.1
    slow: float = 0.01
    slowness: float = 5.0
    deaths: float = 0.2


@dataclass(frozen=True)
class Run:
    """What a run came to."""

    seconds: float
    busy: float  # share of the workers' time that went into rows
    deaths: int
    redone: int  # shards


def simulate(
    workers: int,
    rows_of_shard: int,
    costs: Costs,
    trouble: Trouble,
    rng: np.random.Generator,
    rows: int = ROWS,
) -> Run:
    """One run from the first process to the last part."""
    shards = [rows_of_shard] * (rows // rows_of_shard) + [rows % rows_of_shard] * bool(rows % rows_of_shard)
    speed = np.exp(trouble.spread * rng.normal(size=workers))
    free = [(costs.cluster + costs.start * rng.uniform(0.8, 1.5), worker) for worker in range(workers)]
    heapq.heapify(free)
    todo = list(reversed(shards))
    deaths = redone = 0
    end = useful = 0.0
    while todo:
        now, worker = heapq.heappop(free)
        size = todo.pop()
        work = (costs.shard + costs.row * size) * speed[worker]
        if rng.random() < trouble.slow:
            work *= trouble.slowness
        dies = rng.exponential(3600 / trouble.deaths) if trouble.deaths else np.inf
        if dies < work:
            # The shard goes to another worker; nothing of it stands under its final name.
            deaths, redone = deaths + 1, redone + 1
            todo.append(size)
            heapq.heappush(free, (now + dies + costs.start, worker))
            continue
        useful += costs.row * size * speed[worker]
        end = max(end, now + work)
        heapq.heappush(free, (now + work, worker))
    return Run(end, useful / (workers * end), deaths, redone)


def measured(path: Path) -> tuple[Costs, Costs]:
    """Costs of local processes and of Ray."""
    if not path.exists():
        raise SystemExit(f"{path} is not there: run benchmarks/scale.py first")
    found: dict[str, float] = json.loads(path.read_text())["summary"]
    # Two processes share a machine's memory and disk: their rate, not that of one, is what a core gives in a full machine.
    row = 2 / found["local_rows_per_second"]
    local = Costs(row, found["seconds_per_shard"], found["local_start_seconds"], 0.0)
    ray_row = 2 / found["ray_rows_per_second"]
    ray = Costs(
        ray_row, 2 * found["seconds_per_shard_ray"], found["local_start_seconds"], found["ray_start_seconds"]
    )
    return local, ray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs of each case")
    parser.add_argument(
        "--costs", type=Path, default=RESULTS / "scale.json", help="what benchmarks/scale.py wrote"
    )
    parser.add_argument("--docs", action="store_true", help="write the table into docs/scale.md")
    options = parser.parse_args()
    local, ray = measured(options.costs)
    calm, usual, bad = Trouble(0, 0, 1, 0), Trouble(), Trouble(0.3, 0.05, 10, 2)
    lines: list[dict[str, Any]] = []
    for name, costs, workers in [("local", local, n) for n in (1, 2, 8, 32)] + [
        ("ray", ray, n) for n in (8, 32, 128, 512)
    ]:
        for rows_of_shard in (100_000, 500_000, 4_000_000):
            line: dict[str, Any] = {"engine": name, "workers": workers, "rows of a shard": rows_of_shard}
            for how, trouble in (("calm", calm), ("usual", usual), ("bad", bad)):
                rng = np.random.default_rng(0)
                runs = [
                    simulate(workers, rows_of_shard, costs, trouble, rng)
                    for _ in range(1 if options.quick else 5)
                ]
                line[how] = float(np.median([run.seconds for run in runs]))
            line["busy"] = float(np.median([run.busy for run in runs]))
            line["redone"] = float(np.median([run.redone for run in runs]))
            lines.append(line)
    headings = ("engine", "workers", "rows of a shard", "calm", "usual", "bad", "of ideal", "redone")
    cells = [_cells(line, local if line["engine"] == "local" else ray) for line in lines]
    table(headings, cells)
    if options.quick:
        return
    (RESULTS / "cluster.json").write_text(json.dumps({"rows": ROWS, "lines": lines}, indent=1) + "\n")
    if options.docs:
        begin, end = "<!-- table of benchmarks/cluster.py -->", "<!-- end of table -->"
        shown = [
            "| " + " | ".join(map(str, row)) + " |" for row in (headings, ["---"] * len(headings), *cells)
        ]
        before, _, rest = DOCS.read_text().partition(begin)
        DOCS.write_text(before + begin + "\n" + "\n".join(shown) + "\n" + end + rest.partition(end)[2])


def _cells(line: dict[str, Any], costs: Costs) -> list[str]:
    ideal = ROWS * costs.row / line["workers"]
    times = [minutes(line[how]) for how in ("calm", "usual", "bad")]
    shard = f"{line['rows of a shard']:,}"
    return [
        line["engine"],
        str(line["workers"]),
        shard,
        *times,
        f"{ideal / line['usual']:.2f}",
        f"{line['redone']:.0f}",
    ]


def minutes(seconds: float) -> str:
    """A time for people."""
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


if __name__ == "__main__":
    main()
