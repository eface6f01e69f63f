"""Teachers: any detector over the feature matrix, behind one protocol."""

from stillwatch.teachers.protocol import Regime, Teacher, ask, fit_teacher
from stillwatch.teachers.resolve import NAMES, resolve_teacher

__all__ = ["NAMES", "Regime", "Teacher", "ask", "fit_teacher", "resolve_teacher"]
