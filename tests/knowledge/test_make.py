"""The second round: more rows where a scout is wrong, in place of as many of the first round."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import stillwatch as sw
from stillwatch.features.pipeline import Code, Features, fit_features
from stillwatch.knowledge.extract import Asker
from stillwatch.knowledge.knowledge import HARD, TRAIN, Knowledge
from stillwatch.knowledge.make import AGAIN, HELD_OUT, Scout, make_knowledge
from stillwatch.table.pack import Packer
from stillwatch.teachers import resolve_teacher
from stillwatch.teachers.fit import fit_teacher


def asked(columns: NDArray[np.float64]) -> tuple[Asker, Features, Code]:
    table = pa.table({f"c{j}": column for j, column in enumerate(columns.T)})
    schema = sw.inspect(table)
    rows = Packer(schema).table(table)
    features = fit_features(rows, schema)
    code = features.encode(rows)
    x = features.assemble(code)
    teacher = fit_teacher(resolve_teacher("knn", regime="normal"), x, seed=0)
    return Asker(teacher, x), features, code


def made(columns: NDArray[np.float64], scout: Scout | None) -> Knowledge:
    return make_knowledge(*asked(columns), None, seed=0, scout=scout)


def wrong_right_of_zero(knowledge: Knowledge) -> NDArray[np.float32]:
    return np.where(knowledge.x[:, 0] > 0, knowledge.target + 1, knowledge.target)


def counts(knowledge: Knowledge) -> dict[str, int]:
    kinds, found = np.unique(knowledge.kind, return_counts=True)
    return dict(zip(kinds.tolist(), found.tolist(), strict=True))


def test_hard_rows_lie_where_the_scout_is_wrong(rng: np.random.Generator) -> None:
    columns = rng.normal(size=(300, 3))
    one, two = made(columns, None), made(columns, wrong_right_of_zero)
    hard, others = two.only(HARD), two.kind != HARD
    learnt = (~one.held_out & (one.kind != TRAIN)).sum()
    assert len(one) == len(two)
    assert len(hard) == pytest.approx(AGAIN * learnt, abs=1)
    assert not hard.held_out.any()
    assert (hard.x[:, 0] > 0).mean() > 0.8
    assert (two.x[others, 0] > 0).mean() < 0.6
    assert two.provenance["rows"] == counts(two)


def test_no_row_descends_from_one_that_is_held_out(rng: np.random.Generator) -> None:
    def wrong_on_some_held_out(knowledge: Knowledge) -> NDArray[np.float32]:
        return knowledge.target + (knowledge.held_out & (knowledge.x[:, 0] > 0))

    hard = made(rng.normal(size=(300, 3)), wrong_on_some_held_out).only(HARD)
    assert (hard.x[:, 0] > 0).mean() == pytest.approx(0.5, abs=0.1)


def test_the_fewer_pairs_of_columns_are_continuous_the_fewer_rows_are_hard(rng: np.random.Generator) -> None:
    columns = rng.normal(size=(300, 4))
    columns[:, 2:] = columns[:, 2:].round()
    knowledge = made(columns, wrong_right_of_zero)
    learnt = (~knowledge.held_out & (knowledge.kind != TRAIN)).sum()
    assert counts(knowledge)[HARD] == pytest.approx(AGAIN / 4 * learnt, abs=1)
    assert HARD not in counts(made(columns.round(), wrong_right_of_zero))


def test_a_scout_without_fault_still_has_a_second_round(rng: np.random.Generator) -> None:
    knowledge = made(rng.normal(size=(300, 3)), lambda knowledge: knowledge.target)
    assert HARD in counts(knowledge)
    assert knowledge.held_out.mean() == pytest.approx(HELD_OUT, abs=0.01)
