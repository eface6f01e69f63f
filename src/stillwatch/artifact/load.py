"""Read a model folder: bytes first, digests next, then the audit, and only then is anything built from it.

Each step is a function of its own, in the order in which `read_artifact` takes them; `parity.verify`
reports on the same.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from stillwatch.artifact.audit import Summary, audit
from stillwatch.artifact.digest import check_digest
from stillwatch.artifact.manifest import FILES, LISTED, MANIFEST, MODEL, REPORT_JSON, Manifest, decode
from stillwatch.artifact.quote import quote
from stillwatch.errors import ArtifactError, AuditError, DigestError, nearest


@dataclass(frozen=True)
class Loaded:
    """A folder that passed every check.

    Attributes
    ----------
    model
        Bytes of `model.onnx`. Sessions are opened from these, never from the path: what was audited is what
        runs.
    digest
        SHA-256 of `manifest.json`, which holds the digests of the graph and the card: one name for the model.
    summary
        What the audit counted.
    report
        Bytes of `report.json`.
    """

    manifest: Manifest
    model: bytes
    digest: str
    summary: Summary
    report: bytes


def read_artifact(path: str | os.PathLike[str], *, expect: str | None = None) -> Loaded:
    """Read a model folder and check all of it.

    Parameters
    ----------
    path
        The folder.
    expect
        Its digest, where it is known from elsewhere: the only guard against a model that was swapped for
        another. It covers graph, manifest and card; the reports are checked against `DIGEST` alone.

    Raises
    ------
    DigestError
        A file was changed or damaged, or the folder is not the expected one.
    ProtocolError
        Written by a newer version.
    AuditError
        The graph is not one of ours.
    ArtifactError
        The folder or a file is missing, unreadable, too large or no plain file.
    """
    files = read_files(path)
    digest = check_digest(files, expect)
    manifest = decode(files[MANIFEST])
    check_files(files, manifest)
    summary = audit(files[MODEL])
    check_layout(manifest, summary)
    return Loaded(manifest, files[MODEL], digest, summary, files[REPORT_JSON])


def read_files(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Read the files with fixed names, and no other, from one folder.

    The folder is opened once and the files are opened in it, so a folder replaced meanwhile is never read
    half and half.
    """
    folder = Path(path)
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise ArtifactError(
            f"{quote(folder, 200)} does not exist{_beside(folder)} A model is a folder written by save()"
        ) from exc
    except NotADirectoryError as exc:
        raise ArtifactError(
            f"{quote(folder, 200)} is not a folder. Name the folder that holds {MODEL}, not a file in it"
        ) from exc
    except (OSError, ValueError) as exc:
        raise ArtifactError(f"{quote(folder, 200)} cannot be opened: {_reason(exc)}") from exc
    try:
        return {name: _read(handle, name, limit) for name, limit in FILES.items()}
    finally:
        os.close(handle)


def _beside(folder: Path) -> str:
    """The folder beside a missing one that may have been meant."""
    try:
        names = [entry.name for entry in os.scandir(folder.parent) if entry.is_dir()]
    except OSError:
        return "."
    near = nearest(folder.name, names)
    return "." if near is None else f"; did you mean {quote(folder.parent / near, 200)}?"


def _read(folder: int, name: str, limit: int) -> bytes:
    """Read one plain file of an open folder; links are not followed, and a pipe does not block."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError as exc:
        raise ArtifactError(
            f"{name} is missing: the folder is no Stillwatch model, or was copied in part"
        ) from exc
    except OSError as exc:
        raise ArtifactError(f"{name} cannot be opened as a plain file: {_reason(exc)}") from exc
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise ArtifactError(f"{name} is not a plain file")
        if about.st_size > limit:
            raise ArtifactError(f"{name}: {about.st_size:,} bytes, more than the {limit:,} allowed")
        with open(handle, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as exc:
        raise ArtifactError(f"{name} cannot be read: {_reason(exc)}") from exc
    finally:
        os.close(handle)
    if len(data) > limit:
        raise ArtifactError(f"{name} grew past {limit:,} bytes while it was read")
    return data


def check_files(files: dict[str, bytes], manifest: Manifest) -> None:
    """Check size and digest of every file that the manifest lists."""
    for name in LISTED:
        entry, data = manifest.files[name], files[name]
        if len(data) != entry.size:
            raise DigestError(
                f"{name}: {len(data):,} bytes, the manifest says {entry.size:,}. Fetch the model again"
            )
        if not hmac.compare_digest(hashlib.sha256(data).hexdigest().encode(), entry.sha256.encode()):
            raise DigestError(
                f"{name}: its SHA-256 is not the manifest's, so it was changed. Fetch the model again"
            )


def check_layout(manifest: Manifest, summary: Summary) -> None:
    """Check that the graph takes the columns that the manifest's layout names, and is of its opset."""
    layout = manifest.layout
    named = {
        "num": len(layout.num),
        "num64": len(layout.num64),
        "txt": len(layout.txt),
        "time": len(layout.time),
    }
    expected = {name: columns for name, columns in named.items() if columns}
    if summary.inputs != expected:
        raise AuditError(f"audit layout: the graph takes {summary.inputs}, the manifest says {expected}")
    if summary.opset != manifest.opset:
        raise AuditError(
            f"audit layout: the graph has opset {summary.opset}, the manifest says {manifest.opset}"
        )


def _reason(exc: Exception) -> str:
    return quote(exc.strerror if isinstance(exc, OSError) and exc.strerror else exc, 200)[1:-1]
