"""Recurrent layers written out step by step: a graph has no loops, and ONNX's own recurrent operators put time before rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stillwatch.errors import StudentError


def unroll(model: nn.Module) -> nn.Module:
    """Replace every LSTM, GRU and RNN of a network that has rows first by its steps; others stay as they are."""
    for name, child in model.named_children():
        if isinstance(child, nn.RNNBase) and child.batch_first and not child.proj_size:
            setattr(model, name, Unrolled(child))
        else:
            unroll(child)
    return model


class Unrolled(nn.Module):
    """The steps of a recurrent layer, as many as the sequence that it is traced with.

    Parameters
    ----------
    layer
        an LSTM, GRU or RNN with batch_first; what it gives is the same, but for the last states, which are a list.
    """

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer, self.kind = layer, layer.mode

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(n, time, columns) to (n, time, width) outputs, and the last states."""
        if not isinstance(x, Tensor) or x.ndim != 3 or state is not None:
            raise StudentError(
                f"its {self.kind} is called with an initial state, a packed sequence, or no (n, time, columns)"
            )
        hidden, cells = LastStates(), LastStates()
        for number in range(self.layer.num_layers):
            ways = []
            for way in ("", "_reverse")[: 1 + self.layer.bidirectional]:
                outputs, carry = self._run(x, f"_l{number}{way}", backwards=bool(way))
                hidden.append(carry[0])
                cells.append(carry[-1])
                ways.append(torch.stack(outputs, dim=1))
            x = torch.cat(ways, dim=2) if len(ways) > 1 else ways[0]
        return x, (hidden, cells) if self.kind == "LSTM" else hidden

    def _run(self, x: Tensor, suffix: str, *, backwards: bool) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Outputs in the order of time, and what the last step carried on."""
        layer = self.layer
        # Turned round once, outside of the steps: the graph holds a weight once, however many steps read it.
        turned = getattr(layer, "weight_hh" + suffix).t()
        bias = getattr(layer, "bias_hh" + suffix) if layer.bias else None
        into = nn.functional.linear(
            x,
            getattr(layer, "weight_ih" + suffix),
            getattr(layer, "bias_ih" + suffix) if layer.bias else None,
        )
        carry: tuple[Tensor, ...] = ()
        outputs = {}
        times = range(int(x.shape[1]))
        for time in reversed(times) if backwards else times:
            # The state before the first step is zero, whatever the number of rows.
            before = torch.zeros(1, turned.shape[0]) if not carry else carry[0]
            back = before @ turned if bias is None else before @ turned + bias
            carry = self._step(into[:, time], back, carry)
            outputs[time] = carry[0]
        return [outputs[time] for time in times], carry

    def _step(self, into: Tensor, back: Tensor, carry: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One step, as in the pages of `torch.nn.LSTM`, `GRU` and `RNN`."""
        if self.kind == "LSTM":
            i, f, g, o = (into + back).chunk(4, dim=1)
            cell = i.sigmoid() * g.tanh()
            if carry:
                cell = f.sigmoid() * carry[1] + cell
            return o.sigmoid() * cell.tanh(), cell
        if self.kind == "GRU":
            (r, z, n), (hr, hz, hn) = into.chunk(3, dim=1), back.chunk(3, dim=1)
            update, fresh = (z + hz).sigmoid(), (n + (r + hr).sigmoid() * hn).tanh()
            return ((1 - update) * fresh + (update * carry[0] if carry else 0.0),)
        return ((into + back).tanh() if self.kind == "RNN_TANH" else (into + back).relu(),)


class LastStates(list[Tensor]):
    """The last state of each layer, (n, width) each: h[-1] works as on torch's tensor, and squeeze(0)."""

    def squeeze(self, dim: int) -> Tensor:
        """The only state of the only layer."""
        if dim != 0 or len(self) != 1:
            raise StudentError(
                f"it calls .squeeze({dim}) on {len(self)} last states of a recurrent layer; take one, h[-1]"
            )
        return self[0]

    def __getattr__(self, name: str) -> Any:
        raise StudentError(
            f"it calls .{name} on the last states of a recurrent layer; take one of them, h[-1], or the outputs"
        )
