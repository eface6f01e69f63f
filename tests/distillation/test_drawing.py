"""A long table is read once: its schema is inferred and its sample drawn in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stillwatch as sw
from stillwatch.distillation.drawing import Drawing
from stillwatch.table.read import Source, open_source
from stillwatch.table.sample import sample
from stillwatch.table.schema import infer_schema

TABLE = pa.table({"x": np.arange(5_000.0), "y": np.arange(5_000.0) % 7})


def counted(table: pa.Table) -> tuple[Source, list[int]]:
    """A source, and a list that grows by one whenever its rows are read."""
    reads: list[int] = []

    def note(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        reads.append(1)
        yield from batches

    return open_source(table).through(note), reads


def test_rows_are_read_once() -> None:
    source, reads = counted(TABLE)
    sw.distill(source, teacher="knn", student=sw.MLP(hidden=(4,), steps=5))
    assert len(reads) == 1


@pytest.mark.parametrize("comma", [False, True])
def test_the_sample_is_that_of_a_pass_of_its_own(comma: bool) -> None:
    """Numbers with a decimal comma make the schema read the rows twice; the sample begins anew."""
    numbers = pa.array([f"{i / 8}".replace(".", ",") for i in range(5_000)])
    table = TABLE.set_column(0, "x", numbers) if comma else TABLE
    source, reads = counted(table)
    drawing = Drawing(100, seed=3)
    infer_schema(source.through(drawing.watch))
    drawn = drawing.table(source, None)
    assert len(reads) == 1 + comma
    assert drawn == sample(table.to_batches(max_chunksize=77), 100, np.random.default_rng(3))


def test_rows_that_come_first_are_all_kept() -> None:
    source, _ = counted(TABLE)
    drawing = Drawing(100, seed=3)
    infer_schema(source.through(drawing.watch))
    drawn = drawing.table(source, lambda batch: batch.column("x").to_numpy() >= 4_950)
    assert drawn.num_rows == 100
    assert drawn["x"].to_pylist()[-50:] == list(range(4_950, 5_000))


def test_files_give_the_model_of_the_same_rows_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sampled down, as long tables are."""
    monkeypatch.setattr("stillwatch.distillation.distill.MOST_ROWS", 3_000)
    for i in range(3):
        pq.write_table(TABLE.slice(2_000 * i, 2_000), tmp_path / f"{i}.parquet", row_group_size=700)
    made = [
        sw.distill(data, teacher="knn", student=sw.MLP(hidden=(4,), steps=5)).model
        for data in (TABLE, tmp_path)
    ]
    assert made[0] == made[1]
