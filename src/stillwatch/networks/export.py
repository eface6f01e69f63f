"""A network as nodes of the project's graph: traced by `torch.onnx`, rewritten to the closed operator list, audited, compared.

The tracer writes down what the network computes for one batch of `_TRACED` rows. Shapes that it froze are made free again
where they are the number of rows; a network whose rows depend on each other, or whose way depends on values, does not pass
the audit or the comparison, and is refused.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from stillwatch.artifact.audit import audit
from stillwatch.artifact.parity import TOLERANCE, disagreement, open_session
from stillwatch.errors import AuditError, StudentError
from stillwatch.graph import OPSET, Graph
from stillwatch.networks.recurrent import unroll
from stillwatch.networks.score import anomaly_score

# No size of a layer is likely to be this; rows are told by it.
_TRACED = 7
_INPUT, _OUTPUT = "rows", "score"
_SAME_ELEMENTS = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}


@dataclass(frozen=True)
class Exported:
    """A network as an audited graph.

    Attributes
    ----------
    model
        bytes of the graph: `num` float32 [n, columns] to `score` float32 [n, 1].
    parity
        largest |a - b| / max(1, |a|) between PyTorch and onnxruntime.
    """

    model: bytes
    parity: float


class Flat(nn.Module):
    """A network over rows that are flat, as a graph takes them, giving one score a row.

    Parameters
    ----------
    network
        gives (n,), (n, 1) or (n, k); see `networks.score`.
    shape
        of one row, as the network takes it.
    """

    def __init__(self, network: nn.Module, shape: tuple[int, ...], normal_class: int) -> None:
        super().__init__()
        self.network, self.shape, self.normal_class = network, shape, normal_class

    def forward(self, rows: Tensor) -> Tensor:
        """(n, columns) rows to (n, 1) scores."""
        inputs = rows if len(self.shape) == 1 else rows.reshape(-1, *self.shape)
        return anomaly_score(self.network(inputs), normal_class=self.normal_class)[:, None]


def export_network(
    network: nn.Module, shape: int | tuple[int, ...], *, normal_class: int = 0, probe: Tensor | None = None
) -> Exported:
    """Write a network as a graph that `artifact.audit` accepts.

    Parameters
    ----------
    network
        as in `distill_network`; left as it is.
    shape
        of one row: the number of columns, or (channels, height, width). The graph takes rows flattened in that order.
    probe
        (n, *shape) rows on which both are compared; None: normal ones.

    Raises
    ------
    StudentError
        the network cannot be exported; the message names the operator or the reason.
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    flat = flat_network(network, shape, normal_class)
    if probe is None:
        probe = torch.randn(64, *shape, generator=torch.Generator().manual_seed(0))
    graph = Graph()
    score = write_network(graph, flat, graph.input("num", prod(shape)), prod(shape))
    model = graph.finish(score)
    try:
        audit(model)
    except AuditError as exc:
        raise _refusal(flat, str(exc)) from exc
    return Exported(model, _parity(flat, model, probe.reshape(len(probe), -1).float().cpu()))


def score_rows(network: nn.Module, x: NDArray[np.float32], *, normal_class: int = 0) -> NDArray[np.float32]:
    """(n,) scores by PyTorch on the CPU."""
    flat = flat_network(network, x.shape[1:], normal_class)
    with torch.inference_mode():
        return np.asarray(flat(torch.from_numpy(x.reshape(len(x), -1)))[:, 0])


def write_network(graph: Graph, flat: nn.Module, matrix: str, columns: int) -> str:
    """Put a network's nodes into a graph, over the matrix [n, columns]; return the name of its output [n, 1].

    Raises
    ------
    StudentError
        the network cannot be traced, or holds an operator that no graph may.
    """
    rows = torch.randn(_TRACED, columns, generator=torch.Generator().manual_seed(1))
    model = _trace(unroll(copy.deepcopy(flat)), rows)
    try:
        values = _run(model, rows.numpy())
    except Exception as exc:  # onnxruntime's exceptions share no base of their own
        raise _refusal(flat, str(exc)) from exc
    names = {_INPUT: matrix, "": ""}
    # What no row takes part in: stored weights, sizes, and what is computed from such.
    constants = {"", *(tensor.name for tensor in model.graph.initializer)}

    def name_of(value: str) -> str:
        if value not in names:
            names[value] = graph.constant(values[value], values[value].dtype)
        return names[value]

    for node in model.graph.node:
        if node.op_type == "Shape" or constants.issuperset(node.input):
            constants.update(node.output)
            continue
        given = values[node.output[0]].shape
        if node.op_type in _SAME_ELEMENTS and given[:1] == (_TRACED,):
            shape = graph.constant([-1, *given[1:]], np.int64)
            names[node.output[0]] = graph.add("Reshape", name_of(node.input[0]), shape)
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = [name_of(value) for value in node.input]
        if node.op_type == "Gather" and node.input[1] in constants:
            # x[:, -1]: the audit takes no index that counts from the end.
            size = values[node.input[0]].shape[attributes.get("axis", 0)]
            inputs[1] = graph.constant(values[node.input[1]] % size, np.int64)
        written = graph.add_many(
            node.op_type,
            *inputs,
            outputs=len(node.output),
            domain=node.domain,
            **attributes,
        )
        names |= dict(zip(node.output, written, strict=True))
    return name_of(_OUTPUT)


_ADVICE = "docs/networks.md lists what a graph may hold; ask the network another way, or distill it into a plainer one"


def flat_network(network: nn.Module, shape: tuple[int, ...], normal_class: int) -> Flat:
    """A copy on the CPU in eval mode: the caller's network is not touched."""
    return Flat(copy.deepcopy(network), shape, normal_class).cpu().float().eval()


def _trace(flat: nn.Module, rows: Tensor) -> onnx.ModelProto:
    file = io.BytesIO()
    try:
        # The exporter prints the whole graph where it fails.
        with (
            warnings.catch_warnings(record=True) as caught,
            torch.no_grad(),
            _plain_attention(),
            redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("always")
            torch.onnx.export(
                flat,
                (rows,),
                file,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=OPSET,
                input_names=[_INPUT],
                output_names=[_OUTPUT],
                do_constant_folding=True,
            )
    except Exception as exc:  # the exporter and a foreign forward raise anything
        raise _refusal(flat, str(exc).strip() or type(exc).__name__) from exc
    for warning in caught:
        # What was traced is one way through the network; another row might take another. torch's own modules look at
        # shapes only.
        own = Path(warning.filename).is_relative_to(Path(torch.__file__).parent)
        decides = issubclass(warning.category, TracerWarning) and "Python boolean" in str(warning.message)
        if decides and not own:
            where = f"line {warning.lineno} of {Path(warning.filename).name}"
            raise _refusal(
                flat, f"{where} decides by a tensor (an if, a while or an assert), and a graph has one way"
            )
    return onnx.load_from_string(file.getvalue())


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Let attention run layer by layer: its fused form has no counterpart in a graph."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _refusal(network: nn.Module, reason: str) -> StudentError:
    return StudentError(
        f"{_name(network)} cannot be exported: {reason.splitlines()[0].rstrip('.')}. {_ADVICE}."
    )


def _run(model: onnx.ModelProto, rows: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Every value of the traced graph, by name: so every shape is known, and every constant."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    names = [name for node in model.graph.node for name in node.output if name]
    open_graph = onnx.ModelProto.FromString(model.SerializeToString())
    del open_graph.graph.output[:]
    open_graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_session(open_graph.SerializeToString())
    return values | dict(zip(names, session.run(names, {_INPUT: rows}), strict=True))


def _parity(flat: nn.Module, model: bytes, rows: Tensor) -> float:
    """Compare in a batch and one by one: a frozen number of rows, or rows that look at each other, show here."""
    session = open_session(model)
    with torch.inference_mode():
        together = flat(rows)[:, 0].numpy()
    parts = np.array_split(rows.numpy(), [1, 3])
    found = [session.run([_OUTPUT], {"num": part})[0][:, 0] for part in parts if len(part)]
    parity = disagreement(together, np.concatenate(found))
    if not parity <= TOLERANCE:
        raise StudentError(
            f"{_name(flat)}: its graph differs from PyTorch by {parity:.2g} (allowed {TOLERANCE:g}). A row's score may depend "
            "on the other rows of its batch, or on chance; it must not."
        )
    return parity


def _name(network: nn.Module) -> str:
    return type(network.network if isinstance(network, Flat) else network).__name__
