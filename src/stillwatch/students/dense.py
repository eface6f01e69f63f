"""Fitted dense layers with ReLU between them: their NumPy form and their nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stillwatch.graph import Graph, rounded

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Weights [in, out] and biases, in order."""


def forward(layers: Layers, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, d) to (n,)."""
    for weight, bias in layers[:-1]:
        x = np.maximum(x @ weight + bias, 0)
    weight, bias = layers[-1]
    return np.asarray((x @ weight + bias)[:, 0])


def write_layers(layers: Layers, graph: Graph, matrix: str) -> str:
    """One Gemm and one Relu a layer; return the name of [n, 1]."""
    for weight, bias in layers[:-1]:
        hidden = graph.add("Gemm", matrix, graph.constant(weight), graph.constant(bias))
        matrix = graph.add("Relu", hidden)
    weight, bias = layers[-1]
    return graph.add("Gemm", matrix, graph.constant(weight), graph.constant(bias))


def rounded_layers(layers: Layers) -> Layers:
    """Weights as float16 holds them; biases are few and stay."""
    return [(rounded(weight), bias) for weight, bias in layers]


def in_blocks(
    form: Callable[[NDArray[np.float32]], NDArray[np.float32]], x: NDArray[np.float32], size: int
) -> NDArray[np.float32]:
    """Apply a form to `size` rows at a time, so that memory stays flat."""
    return np.concatenate([form(x[i : i + size]) for i in range(0, max(len(x), 1), size)])
