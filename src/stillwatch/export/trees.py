"""Trees as C: one table a field, and a walk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import NodeProto, helper

from stillwatch.errors import InputError
from stillwatch.export.values import FLOAT, Value
from stillwatch.export.writer import Writer

_SIGNS = {
    b"BRANCH_LEQ": "<=",
    b"BRANCH_LT": "<",
    b"BRANCH_GTE": ">=",
    b"BRANCH_GT": ">",
    b"BRANCH_EQ": "==",
    b"BRANCH_NEQ": "!=",
}


def write_trees(w: Writer, node: NodeProto, row: Value, refused: Callable[[str], InputError]) -> Value:
    """Walk every tree of a `TreeEnsembleRegressor` with one score, and add up its leaves.

    A leaf leads to itself, so a walk needs no test but the number of its steps: it ends where feature -1 stands.
    """
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if given.get("n_targets", 1) != 1 or given.get("post_transform", b"NONE") != b"NONE":
        raise refused("trees are written for one score that is left as it is")
    how = given.get("aggregate_function", b"SUM")
    if how not in (b"SUM", b"AVERAGE"):
        raise refused(f"leaves are combined by {how.decode()}")
    modes = {mode for mode in given["nodes_modes"] if mode != b"LEAF"}
    if len(modes) > 1:
        raise refused("branches compare in more than one way")
    sign = _SIGNS[modes.pop()] if modes else "<="
    tree, number = (np.array(given[name], np.int64) for name in ("nodes_treeids", "nodes_nodeids"))
    place = {pair: i for i, pair in enumerate(zip(tree.tolist(), number.tolist(), strict=True))}
    leaf = np.array([mode == b"LEAF" for mode in given["nodes_modes"]])
    feature = np.where(leaf, -1, np.array(given["nodes_featureids"], np.int64)).astype(np.int32)
    yes, no = (
        np.array(
            [
                i if end else place[t, n]
                for i, (end, t, n) in enumerate(zip(leaf, tree.tolist(), given[name], strict=True))
            ],
            np.int32,
        )
        for name in ("nodes_truenodeids", "nodes_falsenodeids")
    )
    weighed = {place[pair] for pair in zip(given["target_treeids"], given["target_nodeids"], strict=True)}
    if weighed != set(np.flatnonzero(leaf).tolist()):
        raise refused("a leaf has no weight")
    # A leaf needs no threshold, so its weight stands there.
    value = np.array(given["nodes_values"], np.float32)
    value[leaf] = 0
    for t, n, weight in zip(
        given["target_treeids"], given["target_nodeids"], given["target_weights"], strict=True
    ):
        value[place[t, n]] += np.float32(weight)
    children = set(yes[~leaf].tolist()) | set(no[~leaf].tolist())
    roots = np.array([i for i in range(len(tree)) if i not in children], np.int32)
    missing = np.array(given.get("nodes_missing_value_tracks_true") or np.zeros(len(tree)), np.int64)
    gap = ""
    if missing[~leaf].any():
        gap = f" || (x != x && {w.table(missing.astype(np.bool_))}[at])"
    out = w.local((*row.shape[:-1], 1), FLOAT)
    start = float((given.get("base_values") or [0.0])[0])
    divisor = len(roots) if how == b"AVERAGE" else 1
    f, v, y, n_, r = (w.table(each) for each in (feature, value, yes, no, roots))
    w.body += [
        "{",
        "    double sum = 0;",
        f"    for (int i = 0; i < {len(roots)}; i++) {{",
        f"        int at = {r}[i];",
        f"        while ({f}[at] >= 0) {{",
        f"            const {row.type} x = {row.code}[{f}[at]];",
        f"            at = x {sign} {v}[at]{gap} ? {y}[at] : {n_}[at];",
        "        }",
        f"        sum += (double){v}[at];",
        "    }",
        f"    {out.code}[0] = (float)(sum / {divisor} + {start!r});",
        "}",
    ]
    return out
