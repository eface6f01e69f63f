"""From what was fitted and evaluated to what is shipped: the graph, checked, and the manifest beside it."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from stillwatch import __version__
from stillwatch.artifact.audit import audit
from stillwatch.artifact.manifest import Golden, Manifest
from stillwatch.artifact.parity import TOLERANCE, disagreement, golden_scores, open_session, run_session
from stillwatch.calibration.conformal import calibrate, finest_rate
from stillwatch.calibration.groups import Groups
from stillwatch.distillation.fit import Fitted
from stillwatch.distillation.golden import golden_rows
from stillwatch.distillation.result import Evaluated
from stillwatch.distillation.split import Split
from stillwatch.distillation.start import STATE
from stillwatch.drift.sketch import Sketches, sketch_columns, sketch_scores
from stillwatch.errors import StudentError
from stillwatch.evaluation.fidelity import fidelity
from stillwatch.evaluation.quality import quality
from stillwatch.explain.references import find_references
from stillwatch.features.number import robust_scale
from stillwatch.features.state import state_of
from stillwatch.graph import OPSET
from stillwatch.table.pack import Rows
from stillwatch.teachers.protocol import Regime


def make_model(
    fitted: Fitted,
    evaluated: Evaluated,
    fit: Rows,
    groups: Groups | None,
    sketches: Sketches,
    *,
    regime: Regime,
    alert_rate: float,
    seed: int,
) -> tuple[Manifest, bytes]:
    """The graph, checked against the student's own form, and all that is known about it."""
    features, knowledge = fitted.features, fitted.knowledge
    model = fitted.graph()
    found = None
    if evaluated.labels is not None:
        found = quality(evaluated.student, evaluated.labels, seed=seed)
    golden = golden_rows(features, np.random.default_rng(seed))
    calibration = calibrate(
        evaluated.student[: evaluated.calibrating],
        approximate=evaluated.approximate,
        normal=regime == "normal",
    )
    known = () if features.categories is None else features.categories.known()
    manifest = Manifest(
        writer=__version__,
        schema=features.schema,
        layout=features.layout,
        categories=dict(zip(features.layout.txt, known, strict=True)),
        calibration=calibration,
        # A default that the model cannot keep would make every call without a rate fail.
        alert_rate=max(alert_rate, finest_rate(calibration)),
        groups=groups,
        teacher={**fitted.asker.teacher.recipe(), "regime": regime},
        knowledge={key: value for key, value in knowledge.provenance.items() if key != "teacher"}
        | {"data": _fingerprint(fit), STATE: state_of(features)},
        student={**fitted.student.describe(), "seed": seed},
        fidelity=msgspec.to_builtins(fidelity(evaluated.student, evaluated.teacher)),
        quality=None if found is None else msgspec.to_builtins(found),
        references=find_references(
            fit, features.transform(fit), known, [robust_scale(column) for column in fit.numbers.T]
        ),
        sketches=sketches,
        golden=Golden(rows=golden, scores=()),
        parity=0.0,
        opset=OPSET,
    )
    audit(model)
    session = open_session(model)
    probe = evaluated.rows.take(np.arange(min(len(evaluated.rows), 2_000)))
    parity = disagreement(fitted.student_score(probe), run_session(session, manifest, probe))
    if parity > TOLERANCE:
        raise StudentError(
            f"The exported graph differs from the student by {parity:.2g} (allowed {TOLERANCE:g}). "
            "Please report this with the schema of the table."
        )
    scores = tuple(float(score) for score in golden_scores(session, manifest, golden))
    return msgspec.structs.replace(manifest, golden=Golden(rows=golden, scores=scores), parity=parity), model


def make_sketches(fitted: Fitted, rows: Rows, split: Split, evaluated: Evaluated) -> Sketches:
    """What later rows are compared with."""
    features, fit, apart = fitted.features, rows.take(split.fit), rows.take(split.calibration)
    known = () if features.categories is None else features.categories.known()
    return Sketches(
        columns=sketch_columns(
            Rows.concat([fit, apart]),
            features.schema,
            dict(zip(features.layout.txt, known, strict=True)),
            apart=None if evaluated.approximate else apart,
        ),
        score=(
            None
            if evaluated.approximate
            else sketch_scores(evaluated.student[: evaluated.calibrating], fitted.student_score(fit))
        ),
    )


def _fingerprint(rows: Rows) -> str:
    """Digest of the fit rows, so that a refit can be checked to be on the same ones."""
    digest = hashlib.sha256(rows.numbers.tobytes() + rows.times.tobytes())
    for column in rows.texts.T:
        digest.update("\0".join(column).encode())
    return digest.hexdigest()
