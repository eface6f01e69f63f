"""Tree ensembles that onnxruntime would follow into foreign memory, for ever, or down its stack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.artifact.audit import audit
from stillwatch.artifact.parity import open_session
from stillwatch.artifact.trees import MOST_DEPTH
from stillwatch.errors import AuditError

from . import graphs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes_featureids": [3, 0, 0]}, "feature lies outside the 3 columns"),
        ({"nodes_featureids": [1, 1 << 40, 0]}, "feature lies outside"),
        ({"nodes_featureids": [-1, 0, 0]}, "feature lies outside"),
        ({"nodes_featureids": [1, 0]}, "differ in length"),
        ({"target_ids": [0, 1]}, "target lies outside"),
        ({"target_ids": [-1, 0]}, "target lies outside"),
        ({"target_nodeids": [1, 7]}, "a weight belongs to a node that is not there"),
        ({"target_nodeids": [0, 1]}, "a weight belongs to a branch"),
        ({"target_weights": [1.0]}, "differ in length"),
        ({"n_targets": 0}, "n_targets"),
        ({"n_targets": 1 << 40}, "n_targets"),
        ({"base_values": [0.0, 1.0]}, "base_values"),
        ({"nodes_truenodeids": [0, 0, 0]}, "leads back"),
        ({"nodes_truenodeids": [2, 0, 0]}, "two branches lead to one node"),
        ({"nodes_truenodeids": [9, 0, 0]}, "a branch leads to a node that is not there"),
        ({"nodes_truenodeids": [-1, 0, 0]}, "a branch leads to a node that is not there"),
        ({"nodes_nodeids": [0, 1, 1]}, "a node stands twice"),
        ({"nodes_nodeids": [0, 1, 1 << 50]}, "a number is negative or too large"),
        ({"nodes_treeids": [0, 0, -1]}, "a number is negative or too large"),
        ({"nodes_treeids": [0, 0, 1]}, "a branch leads to a node that is not there"),
        ({"nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_MEMBER"]}, "unknown mode"),
        ({"nodes_modes": ["BRANCH_LEQ", "LEAF"]}, "differ in length"),
        ({"nodes_values_as_tensor": graphs.tensor("v", [1.0])}, "'nodes_values_as_tensor' is unknown"),
        ({"n_targets": [1]}, "'n_targets' is unknown or of another type"),
        ({"nodes_hitrates": [1.0]}, "differ in length"),
    ],
)
def test_bad_trees_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        audit(graphs.tree(**changes))


def test_a_missing_list_is_refused() -> None:
    from onnx import ModelProto

    changed = ModelProto.FromString(graphs.tree())
    kept = [a for a in changed.graph.node[0].attribute if a.name != "target_weights"]
    changed.graph.node[0].ClearField("attribute")
    changed.graph.node[0].attribute.extend(kept)
    with pytest.raises(AuditError, match="attribute target_weights is missing"):
        audit(changed.SerializeToString())


def chain(depth: int) -> bytes:
    """A tree that is one long branch, with a leaf at each step."""
    count = 2 * depth + 1
    inner = [i % 2 == 0 and i < 2 * depth for i in range(count)]
    leaves = [i for i in range(count) if not inner[i]]
    return graphs.tree(
        nodes_treeids=[0] * count,
        nodes_nodeids=list(range(count)),
        nodes_featureids=[0] * count,
        nodes_values=[0.0] * count,
        nodes_modes=["BRANCH_LEQ" if each else "LEAF" for each in inner],
        nodes_truenodeids=[i + 1 if inner[i] else 0 for i in range(count)],
        nodes_falsenodeids=[i + 2 if inner[i] else 0 for i in range(count)],
        target_treeids=[0] * len(leaves),
        target_nodeids=leaves,
        target_ids=[0] * len(leaves),
        target_weights=[1.0] * len(leaves),
    )


def test_depth_is_bounded() -> None:
    audit(chain(MOST_DEPTH))
    with pytest.raises(AuditError, match="deeper than"):
        audit(chain(MOST_DEPTH + 1))


def test_a_good_tree_scores() -> None:
    audit(graphs.tree())
    x = np.array([[0, 0.4, 0], [0, 0.6, 0]], dtype=np.float32)
    (score,) = open_session(graphs.tree()).run(None, {"num": x})
    assert score.tolist() == [[1.0], [2.0]]


INTEGERS = ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_what_passes_runs_and_ends(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    numbers = st.lists(st.integers(0, count), min_size=count, max_size=count)
    lists = {f"nodes_{name}": data.draw(numbers) for name in INTEGERS}
    lists["nodes_treeids"], lists["nodes_nodeids"] = [0] * count, list(range(count))
    modes = data.draw(st.lists(st.sampled_from(["LEAF", "BRANCH_LT"]), min_size=count, max_size=count))
    leaves = [i for i, mode in enumerate(modes) if mode == "LEAF"]
    try:
        tree = graphs.tree(
            **lists,
            nodes_modes=modes,
            nodes_values=[0.5] * count,
            target_treeids=[0] * len(leaves),
            target_nodeids=leaves,
            target_ids=[0] * len(leaves),
            target_weights=[1.0] * len(leaves),
        )
        audit(tree)
    except (AuditError, ValueError):  # the second from onnx, for an empty list
        return
    (score,) = open_session(tree).run(None, {"num": np.zeros((2, 3), dtype=np.float32)})
    assert np.isfinite(score).all()
