"""Stillwatch: distill a heavy anomaly detector into one small, safe file that scores raw rows in microseconds.

>>> import stillwatch as sw
>>> sw.__version__
'0.1.0'

Importing this loads no torch and no scikit-learn; `distill` loads them when it is called. Higher scores are more abnormal,
and label 1 is an anomaly, everywhere.
"""

from __future__ import annotations

import logging as _logging
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

from stillwatch.artifact.parity import Verification, verify
from stillwatch.calibration.budget import budget_rate
from stillwatch.diff import Difference, diff
from stillwatch.drift.monitor import Monitor
from stillwatch.drift.report import Drift
from stillwatch.errors import (
    ArtifactError,
    AuditError,
    CalibrationError,
    DigestError,
    InputError,
    MissingExtraError,
    ProtocolError,
    SchemaError,
    StillwatchError,
    StudentError,
    TableError,
    TeacherError,
    WorkerError,
)
from stillwatch.evaluate import Evaluation, evaluate
from stillwatch.explain.reasons import Reason
from stillwatch.recalibrate import Recalibration, recalibrate
from stillwatch.scorer import Scorer, Verdict, load
from stillwatch.table.departures import Departure, departures
from stillwatch.table.feedback import Feedback, join_feedback
from stillwatch.table.inspect import inspect
from stillwatch.table.read import Source, open_source
from stillwatch.table.schema import Column, Schema
from stillwatch.table.schema_file import load_schema, save_schema

if TYPE_CHECKING:
    from stillwatch.distillation.distill import distill
    from stillwatch.distillation.result import Distillation
    from stillwatch.distillation.search import Budget, Search
    from stillwatch.export.c import ExportedC, export_c
    from stillwatch.export.mlflow import export_mlflow
    from stillwatch.knowledge.knowledge import Knowledge
    from stillwatch.students.additive import Additive
    from stillwatch.students.blend import Blend
    from stillwatch.students.linear import Linear
    from stillwatch.students.mlp import MLP
    from stillwatch.students.protocol import Student
    from stillwatch.students.prototypes import Prototypes
    from stillwatch.students.trees import Trees
    from stillwatch.teachers.protocol import Teacher

__all__ = [
    "MLP",
    "Additive",
    "ArtifactError",
    "AuditError",
    "Blend",
    "Budget",
    "CalibrationError",
    "Column",
    "Departure",
    "Difference",
    "DigestError",
    "Distillation",
    "Drift",
    "Evaluation",
    "ExportedC",
    "Feedback",
    "InputError",
    "Knowledge",
    "Linear",
    "MissingExtraError",
    "Monitor",
    "ProtocolError",
    "Prototypes",
    "Reason",
    "Recalibration",
    "Schema",
    "SchemaError",
    "Scorer",
    "Search",
    "Source",
    "StillwatchError",
    "Student",
    "StudentError",
    "TableError",
    "Teacher",
    "TeacherError",
    "Trees",
    "Verdict",
    "Verification",
    "WorkerError",
    "budget_rate",
    "departures",
    "diff",
    "distill",
    "evaluate",
    "export_c",
    "export_mlflow",
    "inspect",
    "join_feedback",
    "load",
    "load_schema",
    "open_source",
    "recalibrate",
    "save_schema",
    "verify",
]

# Scoring must not pay for training and export: these names are imported when they are first asked for.
_LATE = {
    "Additive": "stillwatch.students.additive",
    "Blend": "stillwatch.students.blend",
    "Budget": "stillwatch.distillation.search",
    "distill": "stillwatch.distillation.distill",
    "Distillation": "stillwatch.distillation.result",
    "ExportedC": "stillwatch.export.c",
    "export_c": "stillwatch.export.c",
    "export_mlflow": "stillwatch.export.mlflow",
    "Knowledge": "stillwatch.knowledge.knowledge",
    "Linear": "stillwatch.students.linear",
    "MLP": "stillwatch.students.mlp",
    "Prototypes": "stillwatch.students.prototypes",
    "Search": "stillwatch.distillation.search",
    "Student": "stillwatch.students.protocol",
    "Teacher": "stillwatch.teachers.protocol",
    "Trees": "stillwatch.students.trees",
}

_logging.getLogger("stillwatch").addHandler(_logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'stillwatch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
