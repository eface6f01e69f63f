"""From what a caller says to a student."""

from __future__ import annotations

from collections.abc import Callable

from stillwatch.errors import StudentError, nearest
from stillwatch.students.additive import Additive
from stillwatch.students.auto import Auto
from stillwatch.students.blend import Blend
from stillwatch.students.linear import Linear
from stillwatch.students.mlp import MLP
from stillwatch.students.protocol import Learner, Student
from stillwatch.students.prototypes import Prototypes
from stillwatch.students.trees import Trees

NAMES: dict[str, Callable[[], Learner]] = {
    "auto": Auto,
    "mlp": MLP,
    "prototypes": Prototypes,
    "blend": Blend,
    "trees": Trees,
    "additive": Additive,
    "linear": Linear,
}


def resolve_student(spec: str | Student) -> Learner:
    """A student by name, or the one handed in.

    Raises
    ------
    StudentError
        the name is unknown, or the object is no student.
    """
    if isinstance(spec, str):
        if spec not in NAMES:
            near = nearest(spec, NAMES)
            hint = f", did you mean {near!r}?" if near else "."
            raise StudentError(f"student={spec!r} is unknown{hint} Use one of {', '.join(map(repr, NAMES))}.")
        return NAMES[spec]()
    if isinstance(spec, Student):
        return spec
    raise StudentError(
        f"student is a {type(spec).__name__}: expected a name or an object with fit, score and write."
    )
