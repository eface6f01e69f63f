"""Where a distillation goes on: the features, the scale of scores and the student of an earlier model."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from stillwatch.artifact.load import read_artifact
from stillwatch.artifact.manifest import Manifest
from stillwatch.errors import InputError, StudentError
from stillwatch.features.pipeline import Features
from stillwatch.features.state import features_of
from stillwatch.graph import Graph
from stillwatch.knowledge.soften import Softener
from stillwatch.students.protocol import Student
from stillwatch.students.warm import student_of
from stillwatch.table.schema import Schema

STATE = "features"  # where in the knowledge of a manifest the constants of the features stand
# What a restart may lack of Fisher's z of the agreement without a word: 0.007 of 0.93, 0.02 of 0.73.
_FALLEN = 0.05
_MOST = 0.9999  # agreement above this counts as this


@dataclass(frozen=True)
class Start:
    """What an earlier model gives: all that its scores are measured in, and the student to go on from.

    Attributes
    ----------
    teacher
        name of the model's teacher.
    digest
        SHA-256 of its graph.
    agreed
        the model's rank agreement with its teacher over rows above the teacher's median; None: too few were there.
    """

    schema: Schema
    features: Features
    softener: Softener
    student: Student
    teacher: str
    digest: str
    agreed: float | None

    def shortfall(self, fidelity: Mapping[str, Any]) -> str:
        """What there is to say where the new model follows its teacher clearly less well than the earlier one its own.

        `fidelity` is that of the new manifest. What chance alone brings is allowed for: Fisher's z of a rank agreement of n rows
        has a variance of 1.06 / (n - 3) (Fieller, Hartley, Pearson 1957).
        """
        agrees = fidelity["spearman_upper"]
        if agrees is None or self.agreed is None:
            return ""
        before, now = (math.atanh(min(one, _MOST)) for one in (self.agreed, agrees))
        chance = 2 * math.sqrt(2 * 1.06 / max(fidelity["rows"] / 2 - 3, 1))
        if before - now <= _FALLEN + chance:
            return ""
        return (
            f"start: among rows above the median the student agrees with its teacher to {agrees:.3f}, that of the earlier model "
            f"to {self.agreed:.3f}. The rows have changed more than a restart can follow: distill without start=."
        )

    def check_teacher(self, name: str) -> None:
        """Refuse another teacher: its scores have another scale.

        Raises
        ------
        InputError
            the name is not that of the model's teacher.
        """
        if name != self.teacher:
            raise InputError(
                f"start: the model learnt from the teacher {self.teacher!r}, and {name!r} came. "
                "Their scores have different scales: name the same teacher, or distill without start=."
            )

    def schema_for(self, names: Iterable[str], declared: Schema | None) -> Schema:
        """The schema of a table that the model's features can be made of.

        Parameters
        ----------
        names
            columns of the table: of the model's label, keys and ignored columns, those that it lacks are left out.
        declared
            what the caller declared; None: the model's.

        Raises
        ------
        InputError
            the feature columns differ from the model's.
        """
        if declared is None:
            there = set(names)
            kept = tuple(c for c in self.schema.columns if c.role == "feature" or c.name in there)
            return msgspec.structs.replace(self.schema, columns=kept)
        ours, theirs = ([(c.name, c.kind) for c in one.features] for one in (self.schema, declared))
        if ours != theirs:
            changed = sorted({name for name, _ in set(ours) ^ set(theirs)})
            which = f"in {', '.join(map(repr, changed))}" if changed else "in their order"
            raise InputError(
                f"start: the feature columns differ from the model's {which}. Distill without start=."
            )
        return declared


def begin(start: Any, student: str | Student) -> Start:
    """Read what a distillation can go on from.

    Parameters
    ----------
    start
        a model folder, or a `Distillation`.
    student
        what the caller asked for: "auto", or the name of the model's own family.

    Raises
    ------
    InputError
        `start` is something else, or a model of a version that did not keep its features.
    StudentError
        another family is asked for, or the graph cannot be read back.
    ArtifactError
        the folder is damaged.
    """
    manifest, model = _opened(start)
    family = manifest.student["name"]
    if student not in {"auto", family}:
        asked = repr(student) if isinstance(student, str) else f"a {type(student).__name__} of your own"
        raise StudentError(
            f"start: the model's student is {family!r}, and {asked} was asked for. Training goes on from the model's: "
            "leave student= out, or distill without start=."
        )
    if STATE not in manifest.knowledge:
        raise InputError(
            "start: this model does not hold what its features were made with. Distill without start=."
        )
    softening = manifest.knowledge["softening"]
    found = Start(
        schema=manifest.schema,
        features=features_of(
            manifest.knowledge[STATE], manifest.schema, manifest.layout, manifest.categories
        ),
        softener=Softener(float(softening["center"]), float(softening["scale"])),
        student=student_of(model, manifest.student),
        teacher=manifest.teacher["name"],
        digest=hashlib.sha256(model).hexdigest(),
        agreed=manifest.fidelity.get("spearman_upper"),
    )
    if getattr(found.student, "warm", False) and _written(found) != model:
        raise StudentError(
            f"start: the model was written by stillwatch {manifest.writer}, and this version writes it otherwise. "
            "Distill without start=."
        )
    return found


def _opened(start: Any) -> tuple[Manifest, bytes]:
    if isinstance(start, str | os.PathLike):
        found = read_artifact(start)
        return found.manifest, found.model
    manifest, model = getattr(start, "manifest", None), getattr(start, "model", None)
    if isinstance(manifest, Manifest) and isinstance(
        model, bytes
    ):  # a Distillation, whose module imports this one
        return manifest, model
    raise InputError(f"start is a {type(start).__name__}: expected a model folder, or what distill returned.")


def _written(start: Start) -> bytes:
    """What was read back, written again: if these are the model's bytes, nothing was misread."""
    graph = Graph()
    matrix, guard = start.features.write(graph)
    score = start.student.write(graph, matrix)
    return graph.finish(score if guard is None else graph.add("Add", score, guard))
