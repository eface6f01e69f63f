"""Row 24 of the fault list: a folder stands there whole, or not at all."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillwatch.artifact import write
from stillwatch.artifact.load import read_artifact
from stillwatch.artifact.manifest import DIGEST, FILES, MANIFEST, REPORT_JSON
from stillwatch.errors import ArtifactError, AuditError

from . import graphs
from .conftest import Save


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_writes_the_named_files_and_returns_the_digest(tmp_path: Path, save: Save) -> None:
    digest = save(tmp_path / "model")
    assert names(tmp_path) == ["model"]
    assert set(names(tmp_path / "model")) == set(FILES)
    lines = (tmp_path / "model" / DIGEST).read_text().splitlines()
    assert lines[0] == f"{digest}  manifest.json"
    assert [line[64:] for line in lines[1:]] == ["  report.html", "  report.json"]


def test_the_same_content_has_the_same_digest(tmp_path: Path, save: Save) -> None:
    assert save(tmp_path / "a") == save(tmp_path / "b")
    assert save(tmp_path / "e", report_html="another", report_json="{}") == save(tmp_path / "f")
    assert save(tmp_path / "c", card="# Another\n") != save(tmp_path / "d")


def test_an_existing_model_is_replaced_only_when_asked(tmp_path: Path, save: Save) -> None:
    first = save(tmp_path / "model")
    with pytest.raises(ArtifactError, match=r"overwrite=True \(--overwrite\)"):
        save(tmp_path / "model", card="# New\n")
    assert read_artifact(tmp_path / "model").digest == first
    second = save(tmp_path / "model", card="# New\n", overwrite=True)
    assert read_artifact(tmp_path / "model").digest == second != first
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("content", [[], ["thesis.tex"], ["model.onnx", "DIGEST"]])
def test_a_folder_that_is_no_model_is_never_replaced(tmp_path: Path, save: Save, content: list[str]) -> None:
    target = tmp_path / "model"
    target.mkdir()
    for name in content:
        (target / name).touch()
    with pytest.raises(ArtifactError, match="no Stillwatch model"):
        save(target, overwrite=True)
    assert names(target) == sorted(content)


def test_a_model_folder_with_a_file_of_the_user_is_never_replaced(folder: Path, save: Save) -> None:
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match=r"holds 'notes\.txt'"):
        save(folder, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_a_target_that_is_no_folder_is_an_error(tmp_path: Path, folder: Path, save: Save, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "file":
        target.touch()
    else:
        target.symlink_to(folder if kind == "link" else "nowhere")
    with pytest.raises(ArtifactError, match="is no folder"):
        save(target, overwrite=True)


def test_missing_parents_are_made(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "a" / "b" / "model")
    read_artifact(tmp_path / "a" / "b" / "model")


def test_a_parent_that_is_no_folder_is_an_error_before_work(
    tmp_path: Path, save: Save, monkeypatch: Any
) -> None:
    monkeypatch.setattr(write, "encode", lambda *_: pytest.fail("work was done"))
    (tmp_path / "file").touch()
    for target in ("file/model", "file/a/b/model"):
        with pytest.raises(ArtifactError, match=r"file' is no folder\. Choose another place"):
            save(tmp_path / target)


@pytest.mark.parametrize("target", ["model", "a/b/model"])
def test_a_read_only_parent_is_an_error_before_work(
    tmp_path: Path, save: Save, monkeypatch: Any, target: str
) -> None:
    # Tests may run as root, for whom every folder can be written to.
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(write, "encode", lambda *_: pytest.fail("work was done"))
    with pytest.raises(ArtifactError, match="read-only"):
        save(tmp_path / target)
    assert names(tmp_path) == []


def test_a_file_system_that_turns_read_only_is_an_error(tmp_path: Path, save: Save, monkeypatch: Any) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(ArtifactError, match="Read-only file system"):
        save(tmp_path / "model")


@pytest.mark.parametrize("name", ["x" * 300, "nul\0byte"])
def test_an_impossible_name_is_an_error(tmp_path: Path, save: Save, name: str) -> None:
    with pytest.raises(ArtifactError):
        save(tmp_path / name)


def test_a_target_that_cannot_be_looked_at_is_an_error(folder: Path, save: Save, monkeypatch: Any) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ArtifactError, match="cannot be looked at: Permission denied"):
        save(folder, overwrite=True)


class Boom(BaseException):
    pass


@pytest.mark.parametrize("call", range(8))
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), Boom()]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_fsync_leaves_the_target_as_it_was(
    tmp_path: Path, save: Save, monkeypatch: Any, call: int, error: BaseException, overwrite: bool
) -> None:
    target = tmp_path / "model"
    before = save(target) if overwrite else None
    calls = iter(range(1000))
    sync = os.fsync

    def fail(handle: int) -> None:
        if next(calls) == call:
            raise error
        sync(handle)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ArtifactError if isinstance(error, OSError) else type(error)) as caught:
        save(target, card="# New\n", overwrite=overwrite)
    if isinstance(error, OSError):
        assert "the disk is full" in str(caught.value)
    if call < 7:  # the seven of the files and their folder; the eighth, of the parent, comes after the rename
        assert names(tmp_path) == (["model"] if overwrite else [])
        if overwrite:
            assert read_artifact(target).digest == before
    else:
        assert names(tmp_path) == ["model"]
        assert read_artifact(target).digest != before


@pytest.mark.parametrize("step", [0, 1])
def test_a_failed_rename_leaves_the_old_folder(folder: Path, save: Save, monkeypatch: Any, step: int) -> None:
    before = read_artifact(folder).digest
    calls = iter(range(1000))
    rename = os.rename

    def fail(old: Any, new: Any) -> None:
        if next(calls) == step:
            raise OSError(errno.EIO, "Input/output error")
        rename(old, new)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(ArtifactError, match="Input/output error"):
        save(folder, overwrite=True, card="# New\n")
    assert read_artifact(folder).digest == before
    assert names(folder.parent) == ["model"]


@pytest.mark.parametrize("call", range(26))
def test_an_interrupt_at_any_step_leaves_one_whole_model_and_nothing_beside_it(
    folder: Path, save: Save, monkeypatch: Any, call: int
) -> None:
    before = read_artifact(folder).digest
    calls = iter(range(1000))

    def interrupted(step: Callable[..., Any]) -> Callable[..., Any]:
        def interrupt_and_do(*arguments: Any, **options: Any) -> Any:
            if next(calls) == call:
                signal.raise_signal(signal.SIGINT)
            return step(*arguments, **options)

        return interrupt_and_do

    for module, name in [(os, "rename"), (os, "fsync"), (Path, "mkdir"), (Path, "unlink"), (Path, "rmdir")]:
        monkeypatch.setattr(module, name, interrupted(getattr(module, name)))
    with pytest.raises(KeyboardInterrupt):
        save(folder, card="# New\n", overwrite=True)
    assert names(folder.parent) == ["model"]
    assert (read_artifact(folder).digest == before) == (call == 0)  # the folder above, made before anything


def test_a_target_that_appears_meanwhile_is_kept(tmp_path: Path, save: Save, monkeypatch: Any) -> None:
    write_folder = write._write_folder

    def slow(folder: Path, content: dict[str, bytes]) -> None:
        write_folder(folder, content)
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "thesis.tex").touch()

    monkeypatch.setattr(write, "_write_folder", slow)
    with pytest.raises(ArtifactError, match="no Stillwatch model"):
        save(tmp_path / "model", overwrite=True)
    assert names(tmp_path / "model") == ["thesis.tex"]


def in_process(
    path: Path, hook: str, *, overwrite: bool = False, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Write the simple model in another process, after running `hook` in it."""
    script = f"""
        import os, signal, sys
        from stillwatch.artifact import write
        from tests.artifact import graphs
        {hook}
        try:
            write.write_artifact({str(path)!r}, model=graphs.simple(), manifest=graphs.manifest(),
                report_html="new", report_json="{{}}", card="x" * 100_000, overwrite={overwrite})
        except write.ArtifactError as exc:
            print(exc)
    """
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=root, preexec_fn=before, capture_output=True, text=True, check=False,
    )  # fmt: skip


KILL = "os.kill(os.getpid(), signal.SIGKILL)"
HOOKS = {
    "first file": f"os.fsync = lambda handle: {KILL}",
    "before the rename": f"write._put_in_place = lambda *_: {KILL}",
    "between two files": (
        "calls = iter(range(9)); sync = os.fsync; "
        f"os.fsync = lambda handle: {KILL} if next(calls) == 3 else sync(handle)"
    ),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_kill_leaves_no_half_written_folder(tmp_path: Path, save: Save, hook: str, overwrite: bool) -> None:
    target = tmp_path / "model"
    before = save(target) if overwrite else None
    assert in_process(target, HOOKS[hook], overwrite=overwrite).returncode == -signal.SIGKILL
    if overwrite:
        assert read_artifact(target).digest == before
    else:
        assert not target.exists()
    save(target, overwrite=overwrite)  # what the killed process left is in nobody's way
    read_artifact(target)


def test_a_kill_between_the_two_renames_leaves_both_folders_whole(tmp_path: Path, save: Save) -> None:
    before = save(tmp_path / "model")
    hook = (
        "rename = os.rename; "
        f"os.rename = lambda old, new: {KILL} if '.part' in str(old) else rename(old, new)"
    )
    assert in_process(tmp_path / "model", hook, overwrite=True).returncode == -signal.SIGKILL
    (old,) = tmp_path.glob(".model.*.old")
    (part,) = tmp_path.glob(".model.*.part")
    assert read_artifact(old).digest == before
    assert read_artifact(part).digest != before


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A limit on file sizes stands in for the disk: the kernel cuts the write short."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    run = in_process(tmp_path / "model", "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)", before=limit)
    assert "File too large" in run.stdout, run.stderr
    assert names(tmp_path) == []


def test_what_a_reader_would_refuse_is_not_written(tmp_path: Path, save: Save) -> None:
    with pytest.raises(AuditError, match="audit operator"):
        save(
            tmp_path / "m", model=graphs.model([graphs.node("Loop", ["num"], ["score"])]).SerializeToString()
        )
    with pytest.raises(AuditError, match="audit layout"):
        save(tmp_path / "m", model=graphs.mixed())
    with pytest.raises(ArtifactError, match="alert_rate"):
        save(tmp_path / "m", manifest=graphs.manifest(alert_rate=2.0))
    with pytest.raises(ArtifactError, match="valid Unicode"):
        save(tmp_path / "m", card="\ud800")
    with pytest.raises(ArtifactError, match=f"{REPORT_JSON}: .* more than"):
        save(tmp_path / "m", report_json=" " * (FILES[REPORT_JSON] + 1))
    assert names(tmp_path) == []


def test_a_relative_path_and_a_trailing_slash(tmp_path: Path, save: Save, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    save("model/")  # type: ignore[arg-type]
    assert (tmp_path / "model" / MANIFEST).exists()
