"""The C of a whole model scores as onnxruntime does, on golden rows and on any others."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.artifact.load import read_artifact
from stillwatch.artifact.parity import TOLERANCE, disagreement, open_session, run_session
from stillwatch.errors import CalibrationError, InputError
from stillwatch.export.c import export_c
from stillwatch.graph import Graph
from stillwatch.table.pack import Packer, Rows
from stillwatch.table.timestamp import MISSING_TIME
from tests.export.compiled import compiled, needs_gcc
from tests.golden.make import HERE, at_the_edges, made_up


class Stumps:
    """A student of trees: one branch a column."""

    name = "stumps"
    history = ()

    def __init__(self) -> None:
        self.cuts = np.zeros(0, np.float32)

    def fit(self, knowledge: sw.Knowledge, *, seed: int, progress: Any = None) -> Self:
        self.cuts = (np.median(knowledge.x, axis=0) + 0.0137).astype(np.float32)  # between values
        return self

    def score(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return (x > self.cuts).sum(axis=1).astype(np.float32)

    def write(self, graph: Graph, matrix: str) -> str:
        d = len(self.cuts)
        tree = np.repeat(np.arange(d), 3).tolist()
        return graph.add(
            "TreeEnsembleRegressor", matrix, domain="ai.onnx.ml", n_targets=1, nodes_treeids=tree, nodes_nodeids=[0, 1, 2] * d,
            nodes_featureids=tree, nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * d,
            nodes_values=np.repeat(self.cuts, 3).tolist(), nodes_truenodeids=[1, 0, 0] * d, nodes_falsenodeids=[2, 0, 0] * d,
            target_treeids=np.repeat(np.arange(d), 2).tolist(), target_nodeids=[1, 2] * d, target_ids=[0] * 2 * d,
            target_weights=[0.0, 1.0] * d,
        )  # fmt: skip

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


STUDENTS = {
    "mlp": lambda: sw.MLP(hidden=(16, 16), steps=60),
    "points": lambda: sw.Prototypes(points=40, hidden=(16,), steps=60),
    "trees": Stumps,
}

BUILDS = {
    "O3": (),
    "native": ("-march=native",),
    "undefined behaviour": ("-O0", "-fsanitize=undefined", "-fno-sanitize-recover=all"),
}


@pytest.fixture(params=STUDENTS, scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of every kind of column, by each kind of student."""
    path = tmp_path_factory.mktemp("models") / request.param
    d = sw.distill(made_up(400), teacher="knn", student=STUDENTS[request.param](), assume_normal=True)
    d.save(path)
    return path


def any_rows(manifest: Any, count: int, seed: int = 0) -> Rows:
    """Packed rows with gaps, unseen categories, and numbers of every size."""
    rng, schema = np.random.default_rng(seed), manifest.schema
    usual = Packer(schema).table(made_up(count)) if set(schema.numbers) >= {"amount"} else None
    shape = (count, len(schema.numbers))
    numbers = rng.normal(size=shape) if usual is None else usual.numbers.copy()
    wild = rng.random(shape) < 0.1
    numbers[wild] = rng.normal(size=wild.sum()) * 10.0 ** rng.integers(-30, 30, wild.sum())
    numbers[rng.random(shape) < 0.1] = np.nan
    texts = np.empty((count, len(schema.texts)), object) if usual is None else usual.texts.copy()
    texts[rng.random(texts.shape) < 0.2] = "überseen"
    texts[rng.random(texts.shape) < 0.1] = ""
    times = np.empty((count, len(schema.times)), np.int64) if usual is None else usual.times.copy()
    far = rng.random(times.shape) < 0.2
    times[far] = rng.integers(-(2**62), 2**62, far.sum())
    times[rng.random(times.shape) < 0.1] = MISSING_TIME
    return Rows(numbers, texts, times)


def assert_parity(folder: Path, tmp_path: Path, rows: Rows, flags: tuple[str, ...] = ()) -> None:
    loaded, exported = read_artifact(folder), export_c(folder, tmp_path / "c")
    score, library = compiled(exported.source, flags=("-DMODEL_SELF_TEST", *flags))
    assert library.model_self_test() == 0
    manifest = loaded.manifest
    expected = run_session(open_session(loaded.model), manifest, rows)
    found = score(manifest.layout.feed(rows, manifest.schema.numbers, manifest.schema.texts))
    assert disagreement(expected, found) < TOLERANCE


@needs_gcc
@pytest.mark.parametrize("flags", BUILDS.values(), ids=BUILDS)
def test_every_student_scores_alike_on_rows_of_every_kind(
    folder: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    assert_parity(folder, tmp_path, any_rows(read_artifact(folder).manifest, 500), flags)


@needs_gcc
@pytest.mark.parametrize("place", sorted(HERE.glob("protocol_*")), ids=lambda place: place.name)
def test_every_golden_model_scores_alike(place: Path, tmp_path: Path) -> None:
    packer = Packer(read_artifact(place / "model").manifest.schema)
    rows = Rows.concat(packer.row(row) for row in at_the_edges())
    assert_parity(place / "model", tmp_path, rows)
    assert_parity(place / "model", tmp_path / "more", any_rows(read_artifact(place / "model").manifest, 500))


@needs_gcc
def test_a_wide_table_by_points_and_a_table_of_numbers_only(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 40)) @ rng.normal(size=(40, 40))
    sw.distill(x, teacher="knn", student=STUDENTS["points"](), assume_normal=True).save(tmp_path / "wide")
    manifest = read_artifact(tmp_path / "wide").manifest
    assert_parity(tmp_path / "wide", tmp_path, any_rows(manifest, 300))
    assert "float model_score(const float *num);" in (tmp_path / "c" / "model.h").read_text()


@needs_gcc
def test_hostile_names_and_texts_stay_data(tmp_path: Path) -> None:
    """Neither a column's name nor a category gets out of its comment or its string."""
    values = ['"; int x; //', "*/ int main", "a\\", "??/", "é\t\r", "%s"]
    table = pa.table(
        {
            '*/ #error "out" /*': pa.array([values[i % 6] for i in range(240)]),
            "back\\\nslash": pa.array(np.arange(240.0) % 17),
        }
    )
    sw.distill(table, teacher="knn", student=STUDENTS["mlp"](), assume_normal=True).save(tmp_path / "model")
    assert_parity(
        tmp_path / "model", tmp_path, Packer(read_artifact(tmp_path / "model").manifest.schema).table(table)
    )


@needs_gcc
def test_two_models_stand_in_one_program(folder: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        export_c(folder, tmp_path, name=name)
    (tmp_path / "main.c").write_text(
        '#include "first.h"\n#include "second.h"\nint main(void) { return first_self_test() + second_self_test(); }\n'
    )
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-DFIRST_SELF_TEST", "-DSECOND_SELF_TEST"]
    program = tmp_path / "program"
    subprocess.run(["gcc", *flags, "-o", program, *tmp_path.glob("*.c"), "-lm"], check=True)
    assert subprocess.run([program], check=False).returncode == 0


@needs_gcc
def test_fast_math_is_refused_by_the_file_itself(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        compiled(export_c(folder, tmp_path).source, flags=["-ffast-math"])


def test_the_header_says_what_goes_where_and_when_to_alarm(folder: Path, tmp_path: Path) -> None:
    found = export_c(folder, tmp_path, alert_rate=0.05)
    header = found.header.read_text()
    manifest = read_artifact(folder).manifest
    for place, names in (
        ("num", manifest.layout.num),
        ("num64", manifest.layout.num64),
        ("txt", manifest.layout.txt),
    ):
        for i, name in enumerate(names):
            assert f"   {place}[{i}]  {name}\n" in header
    assert "#define MODEL_ALERT_RATE 0.05\n" in header
    scorer = sw.load(folder)
    score = scorer.score(made_up(400))
    np.testing.assert_array_equal(score >= np.float32(found.threshold), scorer.alert(made_up(400), rate=0.05))
    assert found.stack < 20_000


def test_the_same_model_gives_the_same_file(folder: Path, tmp_path: Path) -> None:
    one, two = (export_c(folder, tmp_path / each).source.read_bytes() for each in "ab")
    assert one == two


def test_what_cannot_be_done_is_said(folder: Path, tmp_path: Path) -> None:
    export_c(folder, tmp_path)
    with pytest.raises(InputError, match="exists"):
        export_c(folder, tmp_path)
    export_c(folder, tmp_path, overwrite=True)
    for name in ("1st", "a b", "", "a/b"):
        with pytest.raises(InputError, match="expected a name in C"):
            export_c(folder, tmp_path, name=name)
    with pytest.raises(CalibrationError, match="calibration rows"):
        export_c(folder, tmp_path / "fine", alert_rate=1e-9)
    assert not (tmp_path / "fine").exists()
