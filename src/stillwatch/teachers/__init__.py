"""Teachers: any detector over the feature matrix, behind one protocol."""

from stillwatch.teachers.fit import FittedTeacher, fit_teacher
from stillwatch.teachers.protocol import Regime, Teacher, ask
from stillwatch.teachers.resolve import NAMES, resolve_teacher

__all__ = ["NAMES", "FittedTeacher", "Regime", "Teacher", "ask", "fit_teacher", "resolve_teacher"]
