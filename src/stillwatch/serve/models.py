"""The models that are served: loaded, checked, named."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stillwatch.artifact.load import read_artifact
from stillwatch.artifact.manifest import FILES, MANIFEST, Manifest
from stillwatch.artifact.parity import TOLERANCE, disagreement
from stillwatch.calibration.conformal import finest_rate, threshold
from stillwatch.errors import ArtifactError, InputError
from stillwatch.scorer import Scorer
from stillwatch.table.pack import Packer
from stillwatch.table.schema import Column
from stillwatch.table.values import shown

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

Mark = tuple[tuple[int, int, int, int], ...]
"""What tells one state of a folder from another without reading it."""


@dataclass(frozen=True, eq=False)
class Model:
    """One loaded model.

    Attributes
    ----------
    name
        of its folder.
    folder
        where it was read from, and will be looked for again.
    digest
        of its manifest: the same everywhere and for ever.
    mark
        the state of the folder when reading began.
    """

    name: str
    folder: Path
    digest: str
    mark: Mark
    scorer: Scorer
    packer: Packer

    @cached_property
    def rate(self) -> float:
        """The alert rate of requests that name none: the model's, or the finest that it supports."""
        return max(self.manifest.alert_rate, finest_rate(self.manifest.calibration))

    def check_rate(self, rate: float) -> None:
        """Raise CalibrationError where the calibration rows are too few for a rate."""
        threshold(self.manifest.calibration, rate)

    @property
    def version(self) -> str:
        """What answers are signed with: the beginning of the digest."""
        return self.digest[:12]

    @property
    def manifest(self) -> Manifest:
        """What is known about the model."""
        return self.scorer.manifest

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns that a request must bring."""
        return self.manifest.schema.features


class Models:
    """The models by name. A swap replaces one reference: a request keeps the model it began with."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._by_name = {model.name: model for model in models}

    def __iter__(self) -> Iterator[Model]:
        return iter(list(self._by_name.values()))

    def get(self, name: str) -> Model | None:
        """The model of that name."""
        return self._by_name.get(name)

    def only(self) -> Model | None:
        """The model, where there is one."""
        return next(iter(self._by_name.values())) if len(self._by_name) == 1 else None

    def swap(self, model: Model) -> None:
        """Put a model in place of the one of its name."""
        self._by_name[model.name] = model


def open_models(folders: Sequence[str | os.PathLike[str]]) -> Models:
    """Load the model folders, and those that stand in folders of models.

    Raises
    ------
    InputError
        there is none, two have the same name, or a name cannot stand in a path of the service.
    ArtifactError
        a folder is damaged or unsafe, or its golden rows score otherwise than when it was written.
    """
    found: dict[str, Path] = {}
    for folder in _model_folders(folders):
        name = folder.name
        if not _NAME.fullmatch(name):
            raise InputError(
                f"the model folder {shown(name)} is named in the service's paths. Name it with at most 64 letters, "
                "digits, dots, dashes and underscores."
            )
        if name in found:
            raise InputError(f"two model folders are named {shown(name)}. Rename one of them.")
        found[name] = folder
    return Models([open_model(folder) for folder in found.values()])


def open_model(folder: Path) -> Model:
    """Load one model folder and score its golden rows.

    Raises
    ------
    ArtifactError
        see `open_models`.
    """
    mark = mark_of(folder)
    loaded = read_artifact(folder)
    scorer = Scorer(loaded.manifest, loaded.model)
    golden = loaded.manifest.golden
    worst = disagreement(golden.scores, [scorer.score_one(row) for row in golden.rows])
    if worst > TOLERANCE:
        raise ArtifactError(
            f"golden rows score differently by up to {worst:.3g}, allowed is {TOLERANCE:.0e}. Run `stillwatch verify`"
        )
    return Model(folder.name, folder, loaded.digest, mark, scorer, Packer(loaded.manifest.schema))


def mark_of(folder: Path) -> Mark:
    """The state of a folder: who its files are, how large, and when they were written."""
    found = []
    for path in (folder, *(folder / name for name in FILES)):
        try:
            about = path.stat()
        except OSError:
            found.append((0, 0, 0, 0))
        else:
            found.append((about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns))
    return tuple(found)


def _model_folders(folders: Sequence[str | os.PathLike[str]]) -> Iterator[Path]:
    for folder in folders:
        path = Path(os.path.abspath(folder))  # links stay: a folder may be swapped by moving one
        inner = () if (path / MANIFEST).exists() else tuple(sorted(path.glob(f"*/{MANIFEST}")))
        if inner:
            yield from (manifest.parent for manifest in inner)
        else:
            yield path  # whatever it is, reading it says what is wrong
