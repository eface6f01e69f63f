"""Open a session from audited bytes, and check a whole folder down to the scores it gives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stillwatch.artifact.audit import OUTPUT, audit
from stillwatch.artifact.digest import check_digest
from stillwatch.artifact.load import check_files, check_layout, read_files
from stillwatch.artifact.manifest import FILES, LISTED, MANIFEST, MODEL, Manifest, Value, decode
from stillwatch.artifact.quote import quote
from stillwatch.errors import ArtifactError, StillwatchError
from stillwatch.table.pack import Packer, Rows

TOLERANCE = 1e-5
"""Two scores a and b of the same row agree where |a - b| <= TOLERANCE * max(1, |a|)."""

_FATAL = 4  # onnxruntime logs nothing less: its errors come as exceptions, and need no second line on stderr


class Check(msgspec.Struct, frozen=True):
    """One step of `verify`: `ok` is None where an earlier failure left nothing to check."""

    name: str
    ok: bool | None
    detail: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found.

    Parameters
    ----------
    ok
        Every check passed.
    digest
        The folder's digest, None where it could not be established.
    checks
        In the order in which they ran.
    extra
        Names in the folder that belong to no model, escaped for showing. They were not opened.
    """

    ok: bool
    digest: str | None
    checks: tuple[Check, ...]
    extra: tuple[str, ...]


def open_session(model: bytes) -> ort.InferenceSession:
    """Open a session on one thread of the CPU, from bytes that passed `audit`.

    Raises
    ------
    ArtifactError
        onnxruntime cannot build the graph.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    try:
        # The fallback would try the same once more, and print to stdout about it.
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as exc:  # onnxruntime's exceptions share no base of their own
        raise ArtifactError(
            f"{MODEL}: onnxruntime {ort.__version__} refuses the graph ({quote(exc, 300)})"
        ) from exc


def run_session(session: ort.InferenceSession, manifest: Manifest, rows: Rows) -> NDArray[np.float32]:
    """(n,) scores of packed rows, higher = more abnormal."""
    feed = manifest.layout.feed(rows, manifest.schema.numbers, manifest.schema.texts)
    try:
        (score,) = session.run([OUTPUT], feed)
    except Exception as exc:  # as above
        raise ArtifactError(f"{MODEL}: onnxruntime cannot run the graph ({quote(exc, 300)})") from exc
    if score.shape != (len(rows), 1):
        raise ArtifactError(
            f"{MODEL}: {len(rows)} rows gave scores of shape {score.shape}, expected one a row"
        )
    return np.asarray(score[:, 0])


def disagreement(
    a: Sequence[float] | NDArray[np.floating], b: Sequence[float] | NDArray[np.floating]
) -> float:
    """Largest |a - b| / max(1, |a|): 0 for no rows, infinite where a score is not finite."""
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return float("inf")
    return float(np.max(np.abs(left - right) / np.maximum(1, np.abs(left)), initial=0.0))


def golden_scores(
    session: ort.InferenceSession, manifest: Manifest, rows: Sequence[Mapping[str, Value]]
) -> NDArray[np.float32]:
    """(n,) scores of rows given as dicts, one by one: the way they will be asked for in use."""
    packer = Packer(manifest.schema)
    scores = [run_session(session, manifest, packer.row(row)) for row in rows]
    return np.concatenate(scores) if scores else np.zeros(0, dtype=np.float32)


def verify(path: str | os.PathLike[str], *, expect: str | None = None) -> Verification:
    """Check a model folder from its bytes to its scores; a bad one is reported, not raised.

    Parameters
    ----------
    path
        The folder.
    expect
        Its digest, where it is known from elsewhere.
    """
    checks: list[Check] = []
    steps = _steps(path, expect)
    for name in CHECKS:
        if checks and not checks[-1].ok:
            checks.append(Check(name, None, "skipped"))
            continue
        try:
            checks.append(Check(name, True, next(steps)))
        except StillwatchError as exc:
            checks.append(Check(name, False, str(exc)))
    by_name = {check.name: check for check in checks}
    return Verification(
        ok=all(check.ok for check in checks),
        digest=by_name["digest"].detail if by_name["digest"].ok else None,
        checks=tuple(checks),
        extra=_extra(path),
    )


CHECKS = ("files", "digest", "manifest", "contents", "audit", "layout", "session", "golden")


def _steps(path: str | os.PathLike[str], expect: str | None) -> Iterator[str]:
    """Take the steps of `CHECKS`, one at each call, and say what each found."""
    files = read_files(path)
    yield f"{len(files)} files, {sum(map(len, files.values())):,} bytes"
    yield check_digest(files, expect)
    manifest = decode(files[MANIFEST])
    yield f"protocol {manifest.protocol}, written by stillwatch {quote(manifest.writer)[1:-1]}"
    check_files(files, manifest)
    yield f"{' and '.join(LISTED)} have their stored size and SHA-256"
    summary = audit(files[MODEL])
    yield f"{summary.nodes:,} nodes, {summary.parameters:,} parameters, opset {summary.opset}"
    check_layout(manifest, summary)
    yield ", ".join(f"{name} [n, {columns}]" for name, columns in summary.inputs.items())
    session = open_session(files[MODEL])
    yield f"opened by onnxruntime {ort.__version__}"
    scores = golden_scores(session, manifest, manifest.golden.rows)
    worst = disagreement(manifest.golden.scores, scores)
    if worst > TOLERANCE:
        raise ArtifactError(
            f"golden rows score differently by up to {worst:.3g}, allowed is {TOLERANCE:.0e}: "
            f"this onnxruntime ({ort.__version__}) computes the graph otherwise"
        )
    yield f"{len(scores)} rows score as stored, {f'to {worst:.1e}' if worst else 'exactly'}"


def _extra(path: str | os.PathLike[str]) -> tuple[str, ...]:
    try:
        names = os.listdir(path)
    except (OSError, ValueError):
        return ()
    return tuple(quote(name, 200)[1:-1] for name in sorted(names) if name not in FILES)
