"""Where training stands, on disk: state dicts, numbers and text, read back without building any object."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from stillwatch.errors import InputError
from stillwatch.training.loop import Check, State


def save_checkpoint(path: Path, state: State, settings: str, epochs: list[tuple[Any, ...]]) -> None:
    """Write a checkpoint so that it stands there whole, or not at all."""
    content = {
        "settings": settings,
        "epochs": epochs,
        "history": [(check.step, check.value) for check in state.history],
        "weights": state.weights,
        "best": state.best,
        "optimizer": state.optimizer,
    }
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, part)
        os.replace(part, path)
    except OSError as exc:
        raise InputError(
            f"checkpoint={str(path.parent)!r}: {path.name!r} cannot be written ({exc.strerror}). Name another folder."
        ) from exc
    finally:
        with suppress(OSError):
            part.unlink()


def load_checkpoint(
    path: Path, settings: str, device: torch.device
) -> tuple[State, list[tuple[Any, ...]]] | None:
    """Read what `save_checkpoint` wrote; None where there is nothing yet.

    Raises
    ------
    InputError
        the file is damaged, or belongs to other networks or other settings.
    """
    if not path.exists():
        return None
    advice = "Remove it to start anew, or name another folder."
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        found = content["settings"]
        state = State(
            history=tuple(Check(int(step), float(value)) for step, value in content["history"]),
            weights=content["weights"],
            best=content["best"],
            optimizer=content["optimizer"],
        )
        epochs = [tuple(epoch) for epoch in content["epochs"]]
    except Exception as exc:  # torch's reader raises many kinds for damaged bytes
        raise InputError(
            f"{path.name}: this is no checkpoint of ours, or is damaged ({type(exc).__name__}). {advice}"
        ) from exc
    if found != settings:
        raise InputError(
            f"{path.name} was written with other settings or networks.\n  then: {found}\n  now:  {settings}\n{advice}"
        )
    return state, epochs
