"""What a row costs in C: the exported file of the default student on 30 numbers, one core, beside onnxruntime in Python.

The binary calls the model on 1,000 rotating rows and reads a monotonic clock around each thousand.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from protocol import Log, arguments, table
from speed import one_by_one

import stillwatch as sw
from stillwatch.artifact.parity import disagreement

ROWS = 1_000
BUILDS = {"-O3": ["-O3"], "-O3 -march=native": ["-O3", "-march=native"], "-Os": ["-Os"]}
PROGRAM = """
#define _POSIX_C_SOURCE 200809L
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static float rows[%(rows)d][MODEL_NUM];
static float scores[%(rows)d];

int main(int argc, char **argv)
{
    FILE *file = fopen(argv[1], "rb");
    const int repeats = argc > 2 ? atoi(argv[2]) : 1;
    if (file == NULL || fread(rows, sizeof(rows), 1, file) != 1)
        return 1;
    fclose(file);
    for (int i = 0; i < repeats; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int j = 0; j < %(rows)d; j++)
            scores[j] = model_score(rows[j]);
        clock_gettime(CLOCK_MONOTONIC, &to);
        printf("%%.6f\\n", ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / 1e3 / %(rows)d);
    }
    file = fopen(argv[3], "wb");
    if (file == NULL || fwrite(scores, sizeof(scores), 1, file) != 1)
        return 1;
    return fclose(file);
}
"""


def tables() -> dict[str, np.ndarray[Any, Any]]:
    """Tables of 30 numbers: mixed normals, clusters, and a heavy tail."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(5_000, 30)) @ rng.normal(size=(30, 30))
    clusters = rng.normal(size=(40, 30))[rng.integers(0, 40, 5_000)] * 4 + rng.normal(size=(5_000, 30))
    return {"mixed": mixed, "clusters": clusters, "heavy tail": np.exp(mixed / 4)}


def measured(model: Path, x: np.ndarray[Any, Any], folder: Path, repeats: int) -> dict[str, float]:
    """Median µs a row of every build, and how far its scores are from onnxruntime's."""
    exported = sw.export_c(model, folder)
    (folder / "main.c").write_text(PROGRAM % {"rows": ROWS})
    x[:ROWS].astype(np.float32).tofile(folder / "rows")
    expected = sw.load(model).score(x[:ROWS])
    found = {"stack_bytes": exported.stack, "source_kb": (folder / "model.c").stat().st_size / 1e3}
    for name, flags in BUILDS.items():
        program = folder / "program"
        subprocess.run(
            [
                "gcc",
                "-std=c99",
                "-Wall",
                "-Wextra",
                "-Werror",
                *flags,
                "-o",
                program,
                folder / "model.c",
                folder / "main.c",
                "-lm",
            ],
            check=True,
        )
        said = subprocess.run(
            [program, folder / "rows", str(repeats), folder / "scores"],
            check=True,
            capture_output=True,
            text=True,
        )
        found[f"{name} us"] = float(np.median([float(line) for line in said.stdout.split()]))
        scores = np.fromfile(folder / "scores", np.float32)
        found[f"{name} off"] = disagreement(expected, scores)
        found[f"{name} code_kb"] = program.stat().st_size / 1e3
    return found


def in_python(scorer: sw.Scorer, rows: list[Any], repeats: int) -> float:
    return one_by_one({"array": lambda i: scorer.score_one(rows[i % ROWS])}, repeats)["array"]["p50"]


def make(x: np.ndarray[Any, Any], student: str, folder: Path, quick: bool) -> None:
    """Distill once; a folder that is there is used as it is."""
    if not folder.exists():
        short: dict[str, Any] = {"mlp": sw.MLP(steps=60), "prototypes": sw.Prototypes(steps=60)}
        sw.distill(x, teacher="knn", assume_normal=True, student=short[student] if quick else student).save(
            folder
        )


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument(
        "--models", type=Path, default=None, help="folder where models are kept, so that a rerun only times"
    )
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    log = Log("c_export", ("table", "student"), quick=options.quick)
    with tempfile.TemporaryDirectory() as place:
        models = options.models or Path(place)
        cases = [(name, "auto") for name in tables()] + [("mixed", "mlp"), ("mixed", "prototypes")]
        for name, student in cases[-2:] if options.quick else cases:
            make(tables()[name], student, models / f"{name} {student}".replace(" ", "-"), options.quick)
        for name, student in cases[-2:] if options.quick else cases:
            if log.done(table=name, student=student):
                continue
            x, model = tables()[name], models / f"{name} {student}".replace(" ", "-")
            scorer = sw.load(model)
            folder = Path(place) / f"{name}-{student}.c".replace(" ", "-")
            found = measured(model, x, folder, 20 if options.quick else 300)
            python = in_python(scorer, list(x[:ROWS]), repeats=1 if options.quick else 5)
            family = scorer.manifest.student["name"]
            log.add(table=name, student=student, family=family, python_us=python, **found)
    headings = [
        "table",
        "student",
        "family",
        "python_us",
        *(f"{build} us" for build in BUILDS),
        "off",
        "code_kb",
        "stack",
    ]
    table(
        headings,
        (
            [
                *(line[each] for each in headings[:-3]),
                max(line[f"{build} off"] for build in BUILDS),
                line["-O3 code_kb"],
                line["stack_bytes"],
            ]
            for line in log.lines
        ),
    )
    defaults = [line for line in log.lines if line["student"] == "auto"]
    log.finish(
        {f"{build} us, default students": [line[f"{build} us"] for line in defaults] for build in BUILDS}
    )


if __name__ == "__main__":
    main()
