"""Networks at work: a teacher frozen, and afterwards exactly as it was found; a student lent to a device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from stillwatch.errors import InputError


@contextmanager
def frozen(model: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """Put a network on a device and in eval mode; afterwards hand it back as it was found.

    `.training` of every submodule (a network may be partly frozen on purpose), buffers such as the statistics of a BatchNorm,
    and the device are restored, whatever happens in between. `requires_grad` is never touched: who asks the network does so
    without gradients.

    Raises
    ------
    InputError
        the network lies on several devices.
    """
    home = _home(model)
    modes = {module: module.training for module in model.modules()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.eval()
    try:
        model.to(device)
        yield model
    finally:
        if home is not None:
            model.to(home)
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                if name in buffers and not torch.equal(buffer, buffers[name]):
                    buffer.copy_(buffers[name])
        for module, training in modes.items():
            module.training = training


@contextmanager
def lent(student: nn.Module, device: torch.device) -> Iterator[None]:
    """Move a student to a device and, trained, back to where it came from, in eval mode."""
    home = _home(student)
    try:
        student.to(device)
        yield
    finally:
        if home is not None:
            student.to(home)
        student.eval()


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of all weights and buffers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _home(model: nn.Module) -> torch.device | None:
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    if len(devices) > 1:
        raise InputError(
            f"a {type(model).__name__} lies on several devices ({', '.join(sorted(map(str, devices)))}). "
            "Move it to one, or wrap it in a module that has its own way of moving."
        )
    return next(iter(devices), None)
