"""Fitted dense layers: their NumPy form and their nodes.

Each unit z of the first layer is read twice, as z and as log(1 + z^2): how far a row lies from a plane, on whichever side, on the
scale of scores. Ellipsoids are made of such distances, which layers of ReLU would first have to put together (decision 19).
Between further layers stands a ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stillwatch.graph import Graph, rounded

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Weights [in, out] and biases, in order."""


def shapes(inputs: int, hidden: Sequence[int]) -> list[tuple[int, int]]:
    """(in, out) of each layer, for these inputs, hidden layers of these widths and one score."""
    first, second, *rest = pairwise((inputs, *hidden, 1))
    return [first, (2 * second[0], second[1]), *rest]


def weights(inputs: int, hidden: Sequence[int]) -> int:
    """Number of weights of such layers, biases aside."""
    return sum(a * b for a, b in shapes(inputs, hidden))


def forward(layers: Layers, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, d) to (n,)."""
    for place, (weight, bias) in enumerate(layers[:-1]):
        z = x @ weight + bias
        x = np.maximum(z, 0) if place else np.concatenate([z, np.log(1 + z * z)], axis=1)
    weight, bias = layers[-1]
    return np.asarray((x @ weight + bias)[:, 0])


def write_layers(layers: Layers, graph: Graph, matrix: str) -> str:
    """A Gemm a layer, and what stands between two; return the name of [n, 1]."""
    for place, (weight, bias) in enumerate(layers[:-1]):
        z = graph.add("Gemm", matrix, graph.constant(weight), graph.constant(bias))
        matrix = graph.add("Relu", z) if place else _read_twice(graph, z)
    weight, bias = layers[-1]
    return graph.add("Gemm", matrix, graph.constant(weight), graph.constant(bias))


def _read_twice(graph: Graph, z: str) -> str:
    squares = graph.add("Mul", z, z)
    return graph.add("Concat", z, graph.add("Log", graph.add("Add", squares, graph.constant(1))), axis=1)


def rounded_layers(layers: Layers) -> Layers:
    """Weights as float16 holds them; biases are few and stay."""
    return [(rounded(weight), bias) for weight, bias in layers]


def in_blocks(
    form: Callable[[NDArray[np.float32]], NDArray[np.float32]], x: NDArray[np.float32], size: int
) -> NDArray[np.float32]:
    """Apply a form to `size` rows at a time, so that memory stays flat."""
    return np.concatenate([form(x[i : i + size]) for i in range(0, max(len(x), 1), size)])
