from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stillwatch.artifact.audit import audit
from stillwatch.artifact.parity import open_session
from stillwatch.errors import StudentError
from stillwatch.networks import ReconstructionError, export_network


class Written(nn.Module):
    """A network whose forward is a function of itself and its input."""

    def __init__(self, forward: Any, **parts: nn.Module) -> None:
        super().__init__()
        self.written = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.written(self, x)


def image(net: Any, x: Tensor) -> Tensor:
    x = functional.max_pool2d(torch.relu(net.norm(net.conv(x))), 2)
    return net.out(functional.gelu(net.layer(x.view(x.size(0), -1))))


def sequence(net: Any, x: Tensor) -> Tensor:
    return net.out(functional.silu(net.conv(x.transpose(1, 2))).amax(dim=2)[:, :8])


def attention(net: Any, x: Tensor) -> Tensor:
    x = net.embed(x)
    n, t, _ = x.shape
    q, k, v = net.heads(net.norm(x)).view(n, t, 6, 8).transpose(1, 2).chunk(3, dim=1)
    mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, 16)
    return net.out((x + mixed).mean(dim=1))


def dense(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 4), *parts)


NETWORKS: dict[str, tuple[Any, int | tuple[int, ...]]] = {
    "one value": (lambda: dense(nn.ReLU(), nn.Linear(4, 1)), 8),
    "two classes": (lambda: dense(nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)), 8),
    "four classes": (lambda: dense(nn.SELU(), nn.Softplus(), nn.PReLU(), nn.LogSoftmax(dim=1)), 8),
    "batch norm": (lambda: nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 4), nn.ELU(), nn.BatchNorm1d(4)), 8),
    "layer norm": (lambda: dense(nn.LayerNorm(4), nn.LeakyReLU(), nn.Softmax(dim=1)), 8),
    "autoencoder": (lambda: ReconstructionError(dense(nn.Sigmoid(), nn.Linear(4, 8))), 8),
    "image": (
        lambda: Written(
            image,
            conv=nn.Conv2d(2, 8, 3, padding=1),
            norm=nn.BatchNorm2d(8),
            layer=nn.Linear(128, 4),
            out=nn.Linear(4, 3),
        ),
        (2, 8, 8),
    ),
    "pooled image": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, groups=2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
        ),
        (2, 9, 9),
    ),
    "sequence": (lambda: Written(sequence, conv=nn.Conv1d(3, 8, 3, stride=2), out=nn.Linear(8, 1)), (9, 3)),
    "attention": (
        lambda: Written(
            attention, embed=nn.Linear(3, 16), heads=nn.Linear(16, 48), norm=nn.LayerNorm(16), out=nn.Linear(16, 1)
        ),
        (5, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_becomes_an_audited_graph_that_agrees(name: str) -> None:
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make().train()
    exported = export_network(network, shape)
    assert exported.parity < 1e-5
    assert network.training
    summary = audit(exported.model)
    assert summary.opset == 17
    assert summary.inputs == {"num": int(np.prod(shape))}
    session = open_session(exported.model)
    for rows in (0, 1, 13):
        (score,) = session.run(["score"], {"num": np.zeros((rows, int(np.prod(shape))), np.float32)})
        assert score.shape == (rows, 1)


RECURRENT = {
    "LSTM": lambda: nn.LSTM(3, 8, batch_first=True),
    "deep LSTM, both ways": lambda: nn.LSTM(3, 8, num_layers=2, bidirectional=True, batch_first=True),
    "deep GRU": lambda: nn.GRU(3, 8, num_layers=2, batch_first=True),
    "GRU, both ways, no bias": lambda: nn.GRU(3, 8, bidirectional=True, bias=False, batch_first=True),
    "RNN": lambda: nn.RNN(3, 8, batch_first=True),
    "RNN of ReLU": lambda: nn.RNN(3, 8, nonlinearity="relu", batch_first=True),
}

READ = {
    "last output": lambda net, x: net.out(net.layer(x)[0][:, -1]),
    "mean output": lambda net, x: net.out(net.layer(x)[0].mean(dim=1)),
    "last state": lambda net, x: net.out((s[0] if isinstance(s := net.layer(x)[1], tuple) else s)[-1]),
}


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("kind", RECURRENT)
def test_a_recurrent_network_is_written_out_by_its_steps(kind: str, read: str) -> None:
    """Compared with torch's own layer, in a batch and one by one."""
    torch.manual_seed(0)
    layer = RECURRENT[kind]()
    width = 16 if layer.bidirectional and read != "last state" else 8
    network = Written(READ[read], layer=layer, out=nn.Linear(width, 1))
    exported = export_network(network, (6, 3))
    assert exported.parity < 1e-5
    summary = audit(exported.model)
    # However many steps read a weight, it is stored once.
    assert summary.parameters < 2 * sum(p.numel() for p in network.parameters()) + 200
    assert isinstance(network.layer, nn.RNNBase)


def test_a_long_sequence_holds_its_weights_once() -> None:
    torch.manual_seed(0)
    network = Written(READ["last output"], layer=nn.LSTM(3, 32, batch_first=True), out=nn.Linear(32, 1))
    sizes = [len(export_network(network, (steps, 3)).model) for steps in (10, 40)]
    assert sizes[1] - sizes[0] < 30 * 1_500  # nodes; the weights of a step alone are 16 KB


def test_the_score_of_classes_is_the_log_odds_of_not_being_normal() -> None:
    network = nn.Linear(3, 3)
    with torch.no_grad():
        network.weight.copy_(torch.eye(3))
        network.bias.zero_()
    model = export_network(network, 3, normal_class=1).model
    row = np.array([[1.0, 2.0, 4.0]], dtype=np.float32)
    (score,) = open_session(model).run(["score"], {"num": row})
    assert score[0, 0] == pytest.approx(np.log(np.exp(1) + np.exp(4)) - 2, rel=1e-6)


REFUSED: dict[str, tuple[Any, int | tuple[int, ...], str]] = {
    "rows that look at each other": (
        lambda: Written(lambda net, x: net.out(x - x.mean(dim=0)), out=nn.Linear(8, 1)), 8, "rows are summed",
    ),
    "statistics of the batch": (
        lambda: dense(nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 1)), 8, "cannot be exported: audit",
    ),
    "a number of rows": (
        lambda: Written(lambda net, x: net.out(x) / x.shape[0], out=nn.Linear(8, 1)), 8, "depend on the other rows",
    ),
    "an if over values": (
        lambda: Written(lambda net, x: net.out(x) if x.sum() > 0 else -net.out(x), out=nn.Linear(8, 1)), 8,
        r"line \d+ of test_export.py decides by a tensor",
    ),
    "chance": (
        lambda: Written(lambda net, x: net.out(x + torch.randn_like(x)), out=nn.Linear(8, 1)), 8, "RandomNormalLike",
    ),
    "a recurrent network with time first": (
        lambda: Written(lambda net, x: net.out(net.lstm(x.transpose(0, 1))[0][-1]), lstm=nn.LSTM(3, 8),
                        out=nn.Linear(8, 1)), (9, 3), "LSTM",
    ),
    "an initial state": (
        lambda: Written(lambda net, x: net.out(net.gru(x, net.first)[0][:, -1]), gru=nn.GRU(3, 8, batch_first=True),
                        out=nn.Linear(8, 1), first=nn.Identity()), (9, 3), "GRU is called with an initial state",
    ),
    "a function that raises": (lambda: Written(lambda net, x: 1 / 0), 8, "division by zero"),
    "more than one value": (lambda: nn.Unflatten(1, (2, 4)), 8, "expected one value or k logits a row"),
    "infinite scores": (
        lambda: Written(lambda net, x: net.out(x) / 0.0, out=nn.Linear(8, 1)), 8, "differs from PyTorch by inf",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::UserWarning")  # nn.LSTM and a batch size, said by the exporter
def test_what_cannot_be_a_graph_is_refused_with_a_reason(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make, shape, message = REFUSED[name]
    torch.manual_seed(0)
    with pytest.raises(StudentError, match=message):
        export_network(make().eval(), shape)
    assert capfd.readouterr().out == ""


def test_a_network_on_many_rows_is_not_changed_by_its_export() -> None:
    network = dense(nn.Dropout(0.5), nn.Linear(4, 1)).double()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_network(network, 8)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
