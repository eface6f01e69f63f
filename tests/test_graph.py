"""Constants of a graph come back as they were put in."""

from __future__ import annotations

import numpy as np
import pytest

from stillwatch.artifact.parity import open_session
from stillwatch.graph import Graph


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.arange(256), id="all fit into float16"),
        pytest.param(np.arange(256) / 3, id="none do"),
        pytest.param(np.arange(256) * 1_000, id="some are too large for it"),
        pytest.param(np.full(256, 1e30), id="all are"),
    ],
)
def test_a_constant_is_stored_exactly(values: np.ndarray) -> None:
    values = values.astype(np.float32)[None]
    graph = Graph()
    added = graph.add("Add", graph.input("num", values.shape[1]), graph.constant(values))
    session = open_session(
        graph.finish(graph.add("Slice", added, *(graph.constant([k], np.int64) for k in (255, 256, 1))))
    )
    found = session.run(None, {"num": np.zeros((2, 256), np.float32)})[0]
    assert found.ravel().tolist() == [values[0, 255]] * 2
