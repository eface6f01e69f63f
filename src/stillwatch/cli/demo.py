from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray
from rich.table import Table

from stillwatch.cli.options import Json
from stillwatch.cli.show import out, progress, result
from stillwatch.evaluation.quality import quality


class Line(NamedTuple):
    """One way to score, and how well it does on rows that it has not seen."""

    data: str
    model: str
    auroc: float
    average_precision: float


def demo(
    output: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder for model, report and scores.")
    ] = Path("demo"),
    json: Json = False,
) -> None:
    """Run the whole way on real data that comes with scikit-learn, in about a minute.

    Writes a model folder with its report, and scored rows; an older demo in the same folder is replaced. Teacher and student
    are compared on rows that neither has seen. Labels are used to evaluate only.
    """
    from stillwatch.artifact.write import check_target
    from stillwatch.distillation.extras import check_extras

    check_extras()
    check_target(output / "model", overwrite=True)
    output.mkdir(parents=True, exist_ok=True)
    began = perf_counter()
    lines = [*_cancer(output), *_digits()]
    seconds = perf_counter() - began
    result([line._asdict() for line in lines], _table(lines), json=json)
    if not json:
        out().print(
            f"\nmodel   {output / 'model'}\nreport  {output / 'model' / 'report.html'}\nscores  {output / 'scores.csv'}"
            f"\n\n{seconds:.0f} s. Next: stillwatch distill your.csv -o model",
            markup=False,
            soft_wrap=True,
        )


def _cancer(output: Path) -> list[Line]:
    """Breast tumours: 30 measurements, a table in which a few rows are anomalies and nobody says which."""
    from sklearn.datasets import load_breast_cancer

    import stillwatch as sw
    from stillwatch.table.write import write_scores

    data = load_breast_cancer()
    malignant = data.target == 0
    rng = np.random.default_rng(0)
    benign, tumours = rng.permutation(np.flatnonzero(~malignant)), rng.permutation(np.flatnonzero(malignant))
    train, test = np.concatenate([benign[:250], tumours[:12]]), np.concatenate([benign[250:], tumours[12:]])
    names = [str(name) for name in data.feature_names]
    with progress() as tell:
        d = sw.distill(_table_of(data.data[train], names), progress=tell)
    d.save(output / "model", overwrite=True)
    unseen = _table_of(data.data[test], names)
    verdict = sw.load(output / "model").judge(unseen, rate=0.05)
    columns = {"row": pa.array(test), "score": pa.array(verdict.score), "p_value": pa.array(verdict.p_value)}
    batch = pa.RecordBatch.from_pydict(columns | {"alert": pa.array(verdict.alert)})
    write_scores(output / "scores.csv", [batch], overwrite=True)
    return _side_by_side("tumours", d, unseen, malignant[test])


def _digits() -> list[Line]:
    """Handwritten digits: the model sees zeros only, the anomalies are all other digits."""
    from sklearn.datasets import load_digits

    import stillwatch as sw

    x, digit = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    zeros = rng.permutation(np.flatnonzero(digit == 0))
    test = np.concatenate([zeros[100:], np.flatnonzero(digit != 0)])
    with progress() as tell:
        d = sw.distill(x[zeros[:100]], assume_normal=True, progress=tell)
    return _side_by_side("digits", d, x[test], digit[test] != 0)


def _side_by_side(name: str, d: Any, rows: Any, anomaly: NDArray[np.bool_]) -> list[Line]:
    """The teacher and three students of it: asked about training rows only, by SUOD's recipe, and ours."""
    from sklearn.ensemble import RandomForestRegressor

    import stillwatch as sw

    train = d.knowledge.only("train")
    x = d.features(rows)
    forest = RandomForestRegressor(random_state=0, n_jobs=2).fit(train.x, train.raw)
    scores = {
        f"teacher ({d.teacher.name})": d.teacher_score(rows),
        "student, training rows only": sw.MLP().fit(train, seed=0).score(x),
        "student, SUOD's recipe (random forest)": forest.predict(x),
        "student, Stillwatch": d.scorer.score(rows),
    }
    lines = []
    for model, score in scores.items():
        found = quality(score, anomaly)
        if found is not None:  # it is: both classes are there
            lines.append(Line(name, model, found.auroc.value, found.average_precision.value))
    return lines


def _table_of(x: NDArray[np.float64], names: list[str]) -> pa.Table:
    return pa.table(dict(zip(names, x.T, strict=True)))


def _table(lines: list[Line]) -> Table:
    table = Table(
        box=None,
        padding=(0, 3, 0, 0),
        header_style="dim",
        title="On rows that no model has seen",
        title_justify="left",
    )
    for heading in ("data", "model"):
        table.add_column(heading)
    for heading in ("AUROC", "average precision"):
        table.add_column(heading, justify="right")
    previous = ""
    for line in lines:
        if previous and line.data != previous:
            table.add_row()
        ours = "bold" if line.model == "student, Stillwatch" else ""
        table.add_row(
            line.data if line.data != previous else "",
            line.model,
            f"{line.auroc:.3f}",
            f"{line.average_precision:.3f}",
            style=ours,
        )
        previous = line.data
    return table
