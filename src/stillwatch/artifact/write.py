"""Write a model folder so that it stands there whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from pathlib import Path

import msgspec

from stillwatch.artifact.audit import audit
from stillwatch.artifact.digest import seal
from stillwatch.artifact.load import check_layout
from stillwatch.artifact.manifest import (
    CARD,
    DIGEST,
    FILES,
    LISTED,
    MANIFEST,
    MODEL,
    REPORT_HTML,
    REPORT_JSON,
    FileEntry,
    Manifest,
    decode,
    encode,
)
from stillwatch.artifact.quote import quote
from stillwatch.errors import ArtifactError
from stillwatch.interrupts import interrupts_held
from stillwatch.unfinished import OLD, sweep, unfinished


def write_artifact(
    path: str | os.PathLike[str],
    *,
    model: bytes,
    manifest: Manifest,
    report_html: str,
    report_json: str,
    card: str,
    overwrite: bool = False,
) -> str:
    """Write a model folder and return its digest, the SHA-256 of its manifest.

    Missing parent folders are made. All files go into a hidden folder beside the target, are forced to the
    disk, and the folder is renamed. Whatever fails on the way, a full disk included, the target is as it was
    and the hidden folder is gone. A Ctrl-C waits until all is written; a second one is a failure like others.
    A killed process may leave a hidden `.part` folder, which nothing ever reads and the next write to the
    same target removes.

    With `overwrite` the old folder is renamed aside before the new one takes its name. A kill between these
    two renames leaves no folder under the name, but both beside it, whole: `.name.*.part` and
    `.name.*.old`.

    Parameters
    ----------
    path
        The folder to write.
    manifest
        Complete but for `files`, which is filled in here.
    overwrite
        Replace an older Stillwatch model; any other existing file or folder is an error even so.

    Raises
    ------
    ArtifactError
        The target exists, the folder above it cannot be written to, the disk is full, or the content is such that
        `read_artifact` would refuse it.
    """
    target = Path(os.path.abspath(path))
    check_target(target, overwrite=overwrite)
    content = _content(model, manifest, report_html, report_json, card)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target, _remove)
        with interrupts_held(), unfinished(target, Path.mkdir) as part:
            aside = part.with_suffix(f".{OLD}")
            try:
                _write_folder(part, content)
                # Looked at again: another process may have written the target meanwhile.
                check_target(target, overwrite=overwrite)
                _put_in_place(part, target, aside)
            finally:
                _remove(part)
                if os.path.exists(target):
                    _remove(aside)
    except (OSError, ValueError) as exc:
        raise ArtifactError(f"{quote(target, 200)} cannot be written: {_reason(exc)}") from exc
    sweep(target, _remove, ending=OLD)
    return hashlib.sha256(content[MANIFEST]).hexdigest()


def _content(model: bytes, manifest: Manifest, html: str, json: str, card: str) -> dict[str, bytes]:
    """Bytes of every file; all that a reader would refuse is refused here, before the disk is touched."""
    try:
        texts = {
            name: text.encode() for name, text in ((REPORT_HTML, html), (REPORT_JSON, json), (CARD, card))
        }
    except UnicodeEncodeError as exc:
        raise ArtifactError(f"a report holds text that is no valid Unicode: {quote(exc, 200)}") from exc
    content = {MODEL: model, **texts}
    entries = {
        name: FileEntry(hashlib.sha256(content[name]).hexdigest(), len(content[name])) for name in LISTED
    }
    content[MANIFEST] = encode(msgspec.structs.replace(manifest, files=entries))
    content[DIGEST] = seal(content)
    for name, data in content.items():
        if len(data) > FILES[name]:
            raise ArtifactError(f"{name}: {len(data):,} bytes, more than the {FILES[name]:,} allowed")
    check_layout(decode(content[MANIFEST]), audit(model))
    return content


def check_target(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Refuse a target that cannot be written, or that holds anything but an older model.

    `write_artifact` asks this too; long work asks before it starts.

    Raises
    ------
    ArtifactError
        As `write_artifact` raises for a target.
    """
    target = Path(os.path.abspath(path))
    try:
        problem = _problem(target, overwrite=overwrite)
    except OSError as exc:
        problem = f"cannot be looked at: {_reason(exc)}"
    if problem:
        raise ArtifactError(f"{quote(target, 200)} {problem}")


def _problem(target: Path, *, overwrite: bool) -> str:
    above = target.parent
    while not os.path.lexists(above):  # missing folders are made
        above = above.parent
    if not above.is_dir():
        return f"cannot be written: {quote(above, 200)} is no folder. Choose another place"
    if not os.access(above, os.W_OK | os.X_OK):
        return f"cannot be written: {quote(above, 200)} is read-only. Choose another place"
    if not os.path.lexists(target):
        return ""
    if target.is_symlink() or not target.is_dir():
        return "exists and is no folder. Choose another name, or remove it"
    names = sorted(os.listdir(target))
    if MANIFEST not in names:
        return "exists and is no Stillwatch model, so it is never overwritten. Choose another name"
    if not overwrite:
        return "exists. Choose another name, or replace it by overwrite=True (--overwrite)"
    foreign = [name for name in names if name not in FILES]
    if foreign:
        return f"holds {quote(foreign[0])}, which Stillwatch did not write. Move it away, then overwrite"
    return ""


def _write_folder(folder: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        with open(folder / name, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    _sync(folder)


def _put_in_place(part: Path, target: Path, aside: Path) -> None:
    if not os.path.exists(target):
        os.rename(part, target)
    else:
        try:
            os.rename(target, aside)
            os.rename(part, target)
        except BaseException:  # a second interrupt may come between the two
            if not os.path.lexists(target):
                os.rename(aside, target)
            raise
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """Force the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    """Remove a folder of ours, if it is there: the files with our names, and then the empty folder.

    Not `shutil.rmtree`: whatever else someone put there meanwhile stays. A failure leaves a hidden folder,
    and no more.
    """
    with contextlib.suppress(OSError, ValueError):
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _reason(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    return (exc.strerror if isinstance(exc, OSError) else None) or type(exc).__name__
