"""Where networks run, and in which precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from stillwatch.errors import InputError

Precision = Literal["auto", "float32", "bfloat16"]


def choose_device(wanted: str | torch.device) -> torch.device:
    """The device to train on; "auto": a GPU where there is one.

    Raises
    ------
    InputError
        there is no such device here.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as exc:
        reason = str(exc).splitlines()[0]
        raise InputError(
            f"device={str(wanted)!r} cannot be used ({reason}). Use 'auto', 'cpu' or 'cuda'."
        ) from exc
    return device


def choose_precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """Number format in which layers compute; weights, losses and scores stay float32.

    "auto" is bfloat16 on a GPU that has it in hardware, and float32 elsewhere. bfloat16 has the range of float32, so gradients
    need no scaling; float16 would, and is not offered.

    Raises
    ------
    InputError
        the word is unknown.
    """
    if wanted == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    if wanted not in ("float32", "bfloat16"):
        raise InputError(f"precision={wanted!r}: expected 'auto', 'float32' or 'bfloat16'.")
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def mixed(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Context in which layers compute in `precision`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision != torch.float32)


@contextmanager
def own_chance(device: torch.device) -> Iterator[None]:
    """Leave torch's generators, of the CPU and of every GPU in use, as they were found."""
    used = device.type == "cuda" or torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if used else []):
        yield
