"""The students that a search tries: every family, from the smallest to the largest that is worth it."""

from __future__ import annotations

from typing import NamedTuple

from stillwatch.errors import StudentError
from stillwatch.students.additive import Additive
from stillwatch.students.linear import Linear
from stillwatch.students.mlp import MLP
from stillwatch.students.protocol import Learner, Student
from stillwatch.students.prototypes import Prototypes
from stillwatch.students.trees import Trees


class Choice(NamedTuple):
    """One student to try: its family, its size as it shall be read, and the student, not yet fitted."""

    family: str
    size: str
    student: Student

    @property
    def name(self) -> str:
        """Family and size: tells the choices of one search apart."""
        return f"{self.family} {self.size}"


def choices(asked: str | Learner) -> tuple[Choice, ...]:
    """What to try for the student that a caller asked for: all families for "auto", one for its name, or the one handed in.

    Raises
    ------
    StudentError
        the name is unknown.
    """
    if not isinstance(asked, str):
        if not isinstance(asked, Student):
            raise StudentError(
                f"student is a {type(asked).__name__}: a search needs a name, or an object with fit and write."
            )
        return (Choice(asked.name, "as given", asked),)
    found = tuple(choice for choice in _all() if asked in {"auto", choice.family})
    if not found:
        families = dict.fromkeys(choice.family for choice in _all())
        raise StudentError(
            f"student={asked!r} is unknown. Use one of 'auto', {', '.join(map(repr, families))}."
        )
    return found


def _all() -> tuple[Choice, ...]:
    return (
        Choice("linear", "2 weights a column", Linear()),
        Choice("additive", "columns", Additive(pairs=0)),
        Choice("additive", "columns and 8 pairs", Additive(pairs=8)),
        *(Choice("mlp", f"{depth} x {width}", MLP(hidden=(width,) * depth)) for depth, width in _LAYERS),
        *(
            Choice("prototypes", f"{points} points, 2 x {width}", Prototypes(points, hidden=(width, width)))
            for points, width in _POINTS
        ),
        *(
            Choice("trees", f"{trees} x {leaves} leaves", Trees(leaves=leaves, trees=trees))
            for trees, leaves in _FORESTS
        ),
    )


_LAYERS = ((1, 16), (2, 16), (2, 32), (2, 64), (3, 64), (3, 128))
_POINTS = ((32, 16), (64, 32), (128, 32), (256, 64), (512, 64), (1024, 64))
_FORESTS = ((24, 8), (48, 16), (93, 32))
