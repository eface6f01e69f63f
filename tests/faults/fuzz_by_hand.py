"""Coverage-guided fuzz over reader, schema file and artifact loader, by hand: it needs atheris, which no extra brings.

    pip install atheris==3.0.0
    python -m tests.faults.fuzz_by_hand reader --seconds 120

Whatever the bytes are, the answer is a result or one of our errors. Anything else stops the run, and libFuzzer writes the bytes
that did it to `crash-...` in the current folder: make a test of them. What was found so far stands in `test_tables.py`,
`tests/table/test_fuzz.py` and `tests/artifact/`.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

LONGEST = 1 << 14  # bytes of one input: what is slow is not what is wrong
ENDINGS = (".csv", ".ndjson", ".parquet", ".arrow", ".csv.gz", "", ".tsv", ".jsonl.gz")


def reader(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    """Open, infer and pack: the first byte names the kind of file."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    from stillwatch.errors import StillwatchError
    from tests.table.test_fuzz import use

    def check(data: bytes) -> None:
        path = folder / f"t{ENDINGS[data[0] % len(ENDINGS)]}"
        path.write_bytes(data[1:])
        with contextlib.suppress(StillwatchError):
            use(path)

    table = pa.table(
        {"a": [1.5, None], "b": ["x", "1,5"], "c": [True, None], "d": np.array([0, 1], "M8[us]")}
    )
    start = folder / "start"
    pacsv.write_csv(table, start)
    texts = [b"\0" + start.read_bytes(), b'\0a;b\n1,5;"x\ny"\n', b'\x01{"a": 1, "b": null}\n{"a": true}\n']
    pq.write_table(table, start)
    columnar = [b"\x02" + start.read_bytes()]
    with pa.ipc.new_file(start, table.schema) as writer:
        writer.write_table(table)
    return check, [*texts, *columnar, b"\x03" + start.read_bytes()]


def schema(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    """Load a schema file."""
    import stillwatch as sw

    path = folder / "schema.json"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(sw.SchemaError):
            sw.load_schema(path)

    rows = [{"a": 1.5, "b": "x", "c": "2024-01-01"}, {"a": 2.5, "b": None, "c": "2024-01-02"}]
    sw.save_schema(sw.inspect(rows), path)
    return check, [path.read_bytes()]


def artifact(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    """Audit and open a graph, read a manifest, use a model with either inside: the first byte says which."""
    from stillwatch.artifact.audit import audit
    from stillwatch.artifact.manifest import MANIFEST, MODEL, decode
    from stillwatch.artifact.parity import open_session
    from stillwatch.errors import ArtifactError
    from tests.artifact.test_fuzz import WHOLE, use

    def graph(data: bytes) -> None:
        audit(data)
        open_session(data)

    ways: list[Callable[[bytes], object]] = [
        graph,
        decode,
        lambda data: use(folder, MANIFEST, data),
        lambda data: use(folder, MODEL, data),
    ]

    def check(data: bytes) -> None:
        with contextlib.suppress(ArtifactError):
            ways[data[0] % len(ways)](data[1:])

    return check, [bytes([i]) + WHOLE[name] for i, name in enumerate((MODEL, MANIFEST, MANIFEST, MODEL))]


TARGETS = {"reader": reader, "schema": schema, "artifact": artifact}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=120)
    options = parser.parse_args()

    import atheris  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as folder:
        work, corpus = Path(folder) / "work", Path(folder) / "corpus"
        work.mkdir()
        corpus.mkdir()
        with atheris.instrument_imports(include=["stillwatch"]):
            check, seeds = TARGETS[options.target](work)
        for i, seed in enumerate(seeds):
            (corpus / str(i)).write_bytes(seed)
        limits = [f"-max_total_time={options.seconds}", f"-max_len={max(LONGEST, *map(len, seeds))}"]
        atheris.Setup(
            [sys.argv[0], str(corpus), *limits, "-timeout=20", "-rss_limit_mb=2048"],
            lambda data: check(data) if data else None,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
