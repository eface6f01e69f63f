from __future__ import annotations

import numpy as np

from stillwatch.features.pipeline import fit_features
from stillwatch.knowledge.transfer import KINDS, parents_of
from stillwatch.knowledge.unseen import differences
from stillwatch.table.pack import Packer
from stillwatch.table.read import open_source
from stillwatch.table.schema import infer_schema
from tests.tables import mixed_table


def test_no_student_trains_on_it() -> None:
    assert "differences" not in KINDS
    assert differences not in KINDS.values()


def test_rows_are_valid_and_unlike_their_parents() -> None:
    table = mixed_table(800)
    schema = infer_schema(open_source(table), label="fraud")
    rows = Packer(schema).table(table)
    features = fit_features(rows, schema)
    parents = parents_of(features.encode(rows), features)
    made = differences(parents, 500, np.random.default_rng(0))
    x = features.assemble(made)
    assert x.shape == (500, features.transform(rows).shape[1])
    assert np.isfinite(x).all()
    widths = np.array(parents.widths)
    assert ((made.category >= 0) & (made.category < widths)).all()
    for j in np.flatnonzero(parents.discrete):
        assert set(made.u[:, j].tolist()) <= {*parents.code.u[:, j].tolist(), 0.0}
    apart = np.abs(x[:, None] - features.transform(rows)[None]).max(axis=2).min(axis=1)
    assert (apart > 1e-3).mean() > 0.9
