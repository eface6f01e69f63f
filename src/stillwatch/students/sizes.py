"""The students that a search tries: every family, from the smallest to the largest that is worth it.

Weights are float16: half the room, the same latency, and a fidelity that cannot be told from that of float32.
"""

from __future__ import annotations

from typing import NamedTuple

from stillwatch.errors import StudentError
from stillwatch.students.additive import Additive
from stillwatch.students.blend import Blend
from stillwatch.students.dense import weights
from stillwatch.students.linear import Linear
from stillwatch.students.mlp import MLP
from stillwatch.students.protocol import Learner, Student
from stillwatch.students.prototypes import MOST_AXES, Prototypes
from stillwatch.students.trees import Trees

_TRIED = 2
_LEAF = 50  # bytes of a leaf and a branch in a file


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
        *(
            Choice("mlp", f"{depth} x {width}", MLP(hidden=(width,) * depth, half=True))
            for depth, width in _LAYERS
        ),
        *(
            Choice(
                "prototypes",
                f"{points} points, 2 x {width}",
                Prototypes(points, hidden=(width, width), half=True),
            )
            for points, width in _POINTS
        ),
        *(
            Choice(
                "blend",
                f"{points} points, twice 2 x {width}",
                Blend(
                    Prototypes(points, hidden=(width, width), half=True),
                    MLP(hidden=(width, width), half=True),
                ),
            )
            for points, width in _BLENDS
        ),
        *(
            Choice("trees", f"{trees} x {leaves} leaves", Trees(leaves=leaves, trees=trees))
            for trees, leaves in _FORESTS
        ),
    )


_LAYERS = ((2, 16), (2, 32), (2, 64), (3, 128))
_POINTS = ((32, 16), (64, 32), (96, 32), (160, 32), (256, 64), (512, 64), (1024, 64))
_BLENDS = ((256, 64), (1024, 64))
_FORESTS = ((24, 8), (93, 32))


def worth_trying(found: tuple[Choice, ...], columns: int, most_bytes: float | None) -> tuple[Choice, ...]:
    """Of choices that differ in their numbers alone, the two largest that a size can hold; without a size all.

    Within a family the larger is the more faithful, as a rule, and training takes the time of a search.
    """
    if most_bytes is None:
        return found
    fitting = [choice for choice in found if least_bytes(choice.student, columns) <= most_bytes]
    return tuple(
        choice
        for choice in fitting
        if choice in [other for other in fitting if other.family == choice.family][-_TRIED:]
    )


def least_bytes(student: Student, columns: int) -> int:
    """Bytes that the numbers of a student take up, its graph aside."""
    if isinstance(student, MLP) and student.hidden:
        return (2 if student.half else 4) * weights(columns, student.hidden)
    if isinstance(student, Prototypes) and student.points:
        axes = min(columns, MOST_AXES)
        dense = weights(student.nearest + columns, student.hidden)
        return (2 if student.half else 4) * (axes * (student.points + columns) + dense)
    if isinstance(student, Blend):
        return least_bytes(student.points, columns) + least_bytes(student.layers, columns)
    if isinstance(student, Trees) and student.trees:
        return _LEAF * student.leaves * student.trees // 2  # boosting may stop early
    return 0
