"""Check a tree ensemble before onnxruntime, which follows branches and reads features without looking."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto

from stillwatch.artifact.quote import quote
from stillwatch.errors import AuditError

MODES = (b"LEAF", b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT", b"BRANCH_EQ", b"BRANCH_NEQ")
MOST_DEPTH = 256  # onnxruntime builds trees by recursion
MOST_TARGETS = 64

_INTS, _FLOATS, _STRINGS = AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS

# Attribute -> its type. Lists of one group have one length; those in _OPTIONAL may be absent.
_NODES = {
    "nodes_treeids": _INTS,
    "nodes_nodeids": _INTS,
    "nodes_featureids": _INTS,
    "nodes_modes": _STRINGS,
    "nodes_values": _FLOATS,
    "nodes_truenodeids": _INTS,
    "nodes_falsenodeids": _INTS,
    "nodes_hitrates": _FLOATS,
    "nodes_missing_value_tracks_true": _INTS,
}
_LEAVES = {"target_treeids": _INTS, "target_nodeids": _INTS, "target_ids": _INTS, "target_weights": _FLOATS}
_OTHERS = {
    "n_targets": AttributeProto.INT,
    "base_values": _FLOATS,
    "aggregate_function": AttributeProto.STRING,
    "post_transform": AttributeProto.STRING,
}
_OPTIONAL = {
    "nodes_hitrates",
    "nodes_missing_value_tracks_true",
    "base_values",
    "aggregate_function",
    "post_transform",
}


def check_trees(node: NodeProto, columns: int) -> int:
    """Refuse an ensemble that reads past its row, does not end, or is deeper than `MOST_DEPTH`.

    Children must have higher numbers than their parents, as in every order in which trees are usually
    written.

    Parameters
    ----------
    node
        A `TreeEnsembleRegressor`.
    columns
        Width of its input.

    Returns
    -------
    Number of targets, the width of its output.
    """
    found = {attribute.name: attribute for attribute in node.attribute}
    types = _NODES | _LEAVES | _OTHERS
    for name, attribute in found.items():
        _require(types.get(name) == attribute.type, f"attribute {quote(name)} is unknown or of another type")
    for name in types.keys() - _OPTIONAL - found.keys():
        raise AuditError(f"audit trees: attribute {name} is missing")
    targets = int(found["n_targets"].i)
    _require(1 <= targets <= MOST_TARGETS, f"n_targets is {targets}, expected 1 to {MOST_TARGETS}")
    nodes = _lists(found, _NODES)
    leaves = _lists(found, _LEAVES)
    feature, target = nodes["nodes_featureids"], leaves["target_ids"]
    _require(
        bool(np.all((feature >= 0) & (feature < columns))), f"a feature lies outside the {columns:,} columns"
    )
    _require(bool(np.all((target >= 0) & (target < targets))), f"a target lies outside the {targets}")
    _require(
        "base_values" not in found or len(found["base_values"].floats) in (0, targets), "base_values differ"
    )
    _check_branches(nodes, leaves)
    return targets


def _lists(found: dict[str, AttributeProto], group: dict[str, int]) -> dict[str, NDArray[Any]]:
    """Arrays of a group of attributes, all of one length."""
    fields = {_INTS: ("ints", np.int64), _FLOATS: ("floats", np.float32), _STRINGS: ("strings", np.object_)}
    lists: dict[str, NDArray[Any]] = {}
    for name, kind in group.items():
        if name in found:
            field, dtype = fields[kind]
            lists[name] = np.array(list(getattr(found[name], field)), dtype=dtype)
    lengths = {len(values) for name, values in lists.items() if len(values) or name not in _OPTIONAL}
    _require(len(lengths) == 1 and lengths != {0}, f"lists differ in length or are empty: {sorted(lengths)}")
    return lists


def _check_branches(nodes: dict[str, NDArray[Any]], leaves: dict[str, NDArray[Any]]) -> None:
    tree, own = nodes["nodes_treeids"], nodes["nodes_nodeids"]
    modes = nodes["nodes_modes"]
    _require(set(modes.tolist()) <= set(MODES), "a node has an unknown mode")
    key = _keys(tree, own, "a number is negative or too large")
    order = np.argsort(key)
    ascending = key[order]
    _require(bool(np.all(np.diff(ascending) > 0)), "a node stands twice")

    def places(trees: NDArray[Any], numbers: NDArray[Any], what: str) -> NDArray[Any]:
        wanted = _keys(trees, numbers, what)
        place = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
        _require(bool(np.all(ascending[place] == wanted)), what)
        return np.asarray(place)

    branch = np.array([mode != b"LEAF" for mode in modes])[order]
    parent = np.flatnonzero(branch)
    children = [
        places(tree[order][branch], nodes[name][order][branch], "a branch leads to a node that is not there")
        for name in ("nodes_truenodeids", "nodes_falsenodeids")
    ]
    _require(all(bool(np.all(child > parent)) for child in children), "a branch leads back")
    leaf = places(
        leaves["target_treeids"], leaves["target_nodeids"], "a weight belongs to a node that is not there"
    )
    _require(not branch[leaf].any(), "a weight belongs to a branch")
    both = np.concatenate(children)
    _require(len(np.unique(both)) == len(both), "two branches lead to one node")
    depth = np.zeros(len(key), dtype=np.int64)
    for at, yes, no in zip(parent.tolist(), children[0].tolist(), children[1].tolist(), strict=True):
        depth[yes] = depth[no] = depth[at] + 1
    _require(int(depth.max()) <= MOST_DEPTH, f"a tree is deeper than {MOST_DEPTH}")


def _keys(trees: NDArray[np.int64], numbers: NDArray[np.int64], problem: str) -> NDArray[np.int64]:
    """One number for each pair of tree and node."""
    for each in (trees, numbers):
        _require(bool(np.all((each >= 0) & (each < 1 << 20))), problem)
    return trees << 20 | numbers


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise AuditError(f"audit trees: {problem}")
