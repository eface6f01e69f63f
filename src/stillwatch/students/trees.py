"""Boosted trees: for few columns with sharp edges, and for people who know how to read them."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import StudentError
from stillwatch.evaluation.fidelity import spearman
from stillwatch.graph import Graph
from stillwatch.knowledge.knowledge import Knowledge
from stillwatch.students.dense import in_blocks
from stillwatch.students.protocol import Progress

_BLOCK = 4096
_MOST_LEAVES = 3_000  # of all trees together: about 200 KB
_CHECKS = 12
_PATIENCE = 0.2  # share of the trees that may fail to help on rows held out


class Tree(NamedTuple):
    """One tree; node 0 is the root, and children stand behind their parents.

    Attributes
    ----------
    feature
        (m,) column that a branch looks at; -1 = leaf.
    value
        (m,) float32: a row goes left where its feature is at most this; the answer of a leaf.
    left, right
        (m,) children; a leaf's own place.
    depth
        branches on the longest way.
    """

    feature: NDArray[np.int64]
    value: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    depth: int


class Trees:
    """Regression on soft scores, by gradient-boosted trees (LightGBM).

    Parameters
    ----------
    leaves
        leaves of one tree.
    trees
        most trees; None: 3,000 leaves in all.
    """

    name = "trees"

    def __init__(self, leaves: int = 32, trees: int | None = None) -> None:
        if leaves < 2:
            raise StudentError(f"leaves={leaves}: expected at least 2.")
        if trees is not None and trees < 1:
            raise StudentError(f"trees={trees}: expected at least one.")
        self.leaves = leaves
        self.trees = trees
        self.forest: tuple[Tree, ...] = ()
        self.history: tuple[tuple[int, float], ...] = ()

    def fit(self, knowledge: Knowledge, *, seed: int, progress: Progress | None = None) -> Self:
        """Boost on the rows that are not held out, for as long as those gain; see `Student.fit`."""
        import lightgbm

        learn = ~knowledge.held_out
        rounds = self.trees or max(1, _MOST_LEAVES // self.leaves)
        every = max(1, rounds // _CHECKS)

        def tell(env: Any) -> None:
            if progress is not None and (env.iteration + 1) % every == 0:
                progress(env.iteration + 1, rounds, -env.evaluation_result_list[0][2])

        train = lightgbm.Dataset(knowledge.x[learn], knowledge.target[learn])
        booster = lightgbm.train(
            {
                "objective": "regression",
                "num_leaves": self.leaves,
                "learning_rate": min(0.5, max(0.1, 10 / rounds)),
                "min_data_in_leaf": 5,
                "bagging_fraction": 0.8,
                "bagging_freq": 1,
                "use_missing": False,
                "seed": seed,
                "deterministic": True,
                "force_row_wise": True,
                "num_threads": 1,
                "verbose": -1,
            },
            train,
            rounds,
            valid_sets=[lightgbm.Dataset(knowledge.x[~learn], knowledge.target[~learn], reference=train)],
            callbacks=[
                lightgbm.early_stopping(max(5, round(_PATIENCE * rounds)), verbose=False),
                tell,
            ],
        )
        self.forest = read_forest(booster.model_to_string(num_iteration=booster.best_iteration))
        self.history = self._checks(knowledge.x[~learn], knowledge.target[~learn], every)
        return self

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """NumPy form of the trees; see `Student.score`."""
        self._check_fitted()
        return in_blocks(self._sum, x, _BLOCK)

    def write(self, graph: Graph, matrix: str) -> str:
        """One ensemble; see `Student.write`."""
        self._check_fitted()
        return write_forest(self.forest, graph, matrix)

    def describe(self) -> dict[str, Any]:
        """Name, shape and number of parameters."""
        branches = sum(int((tree.feature >= 0).sum()) for tree in self.forest)
        leaves = branches + len(self.forest)
        return {
            "name": self.name,
            "trees": len(self.forest),
            "leaves": self.leaves,
            "parameters": 2 * branches + leaves,
        }

    def _sum(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        total = np.zeros(len(x), dtype=np.float32)
        for tree in self.forest:
            total += answers(tree, x)
        return total

    def _checks(
        self, x: NDArray[np.float32], asked: NDArray[np.float32], every: int
    ) -> tuple[tuple[int, float], ...]:
        """Rank agreement on rows held out as trees were added."""
        total, found = np.zeros(len(x), dtype=np.float32), []
        for number, tree in enumerate(self.forest, 1):
            total += answers(tree, x)
            if number % every == 0 or number == len(self.forest):
                found.append((number, spearman(total, asked)))
        return tuple(found)

    def _check_fitted(self) -> None:
        if not self.forest:
            raise StudentError("This student is not fitted. Call fit(knowledge) first.")


def answers(tree: Tree, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) value of the leaf that each of (n, d) rows comes to."""
    flat, first = x.ravel(), np.arange(len(x)) * x.shape[1]
    node = np.zeros(len(x), dtype=np.int64)
    for _ in range(tree.depth):  # a leaf leads to itself, whatever it compares
        goes_left = flat.take(first + np.maximum(tree.feature, 0).take(node)) <= tree.value.take(node)
        node = np.where(goes_left, tree.left.take(node), tree.right.take(node))
    return tree.value.take(node)


def read_forest(text: str) -> tuple[Tree, ...]:
    """Trees of a LightGBM model in its text form."""
    return tuple(_read_tree(block) for block in text.split("\nTree=")[1:])


def _read_tree(block: str) -> Tree:
    lines = dict(line.split("=", 1) for line in block.partition("\n\n")[0].splitlines() if "=" in line)
    leaf = np.array(lines["leaf_value"].split(), dtype=np.float32)
    if len(leaf) == 1:
        here = np.zeros(1, dtype=np.int64)
        return Tree(here - 1, leaf, here, here, 0)
    column, left, right = (
        np.array(lines[name].split(), dtype=np.int64)
        for name in ("split_feature", "left_child", "right_child")
    )
    edge = _rounded_down(np.array(lines["threshold"].split(), dtype=np.float64))
    branches = len(column)
    own = np.arange(branches, branches + len(leaf))
    # LightGBM numbers branches in the order in which they were made, parents first, and leaf i as -1 - i.
    left, right = (np.where(child < 0, branches - 1 - child, child) for child in (left, right))
    depth = np.zeros(branches + len(leaf), dtype=np.int64)
    for parent in range(branches):
        depth[[left[parent], right[parent]]] = depth[parent] + 1
    return Tree(
        np.concatenate([column, np.full(len(leaf), -1)]),
        np.concatenate([edge, leaf]),
        np.concatenate([left, own]),
        np.concatenate([right, own]),
        int(depth.max()),
    )


def _rounded_down(edge: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is at most `edge`: it parts float32 values as `edge` does."""
    near = edge.astype(np.float32)
    return np.where(near > edge, np.nextafter(near, np.float32(-np.inf)), near)


def write_forest(forest: tuple[Tree, ...], graph: Graph, matrix: str) -> str:
    """One `TreeEnsembleRegressor`; return the name of [n, 1]."""
    number = np.concatenate([np.full(len(tree.feature), i) for i, tree in enumerate(forest)])
    node = np.concatenate([np.arange(len(tree.feature)) for tree in forest])
    feature = np.concatenate([tree.feature for tree in forest])
    value = np.concatenate([tree.value for tree in forest])
    leaf = feature < 0
    left, right = (
        np.where(leaf, 0, np.concatenate([getattr(tree, side) for tree in forest]))
        for side in ("left", "right")
    )
    return graph.add(
        "TreeEnsembleRegressor",
        matrix,
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=number.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_featureids=np.maximum(feature, 0).tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_values=np.where(leaf, 0, value).tolist(),
        nodes_truenodeids=left.tolist(),
        nodes_falsenodeids=right.tolist(),
        target_treeids=number[leaf].tolist(),
        target_nodeids=node[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=value[leaf].tolist(),
    )
