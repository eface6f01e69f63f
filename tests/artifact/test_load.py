"""Rows 17 and 18 of the fault list, on folders."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stillwatch
from stillwatch.artifact.digest import check_digest, seal
from stillwatch.artifact.load import read_artifact, read_files
from stillwatch.artifact.manifest import (
    CARD,
    DIGEST,
    FILES,
    MANIFEST,
    MODEL,
    REPORT_HTML,
    REPORT_JSON,
    SEALED,
    decode,
)
from stillwatch.errors import ArtifactError, AuditError, DigestError, StillwatchError
from stillwatch.table.pack import Layout
from stillwatch.table.schema import Column, Schema

from . import graphs
from .conftest import Save


def reseal(folder: Path, name: str, data: bytes) -> None:
    """Replace a file and put every digest right again, as an attacker would."""
    manifest = folder / MANIFEST
    old = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    size = len((folder / name).read_bytes())
    text = manifest.read_text().replace(old, hashlib.sha256(data).hexdigest())
    manifest.write_text(text.replace(f'"size": {size}\n', f'"size": {len(data)}\n'))
    (folder / name).write_bytes(data)
    if name != DIGEST:
        put_digest_right(folder)


def put_digest_right(folder: Path) -> None:
    (folder / DIGEST).write_bytes(seal({name: (folder / name).read_bytes() for name in SEALED}))


def test_a_good_folder_is_read(folder: Path) -> None:
    loaded = read_artifact(folder)
    assert loaded.model == graphs.simple()
    assert loaded.manifest.layout == graphs.manifest().layout
    assert loaded.digest == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert loaded.summary.inputs == {"num": 3}
    assert read_artifact(str(folder), expect=loaded.digest.upper() + "\n").digest == loaded.digest


def test_a_link_to_a_folder_is_the_users_own_choice(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert read_artifact(tmp_path / "current").digest == read_artifact(folder).digest


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("bit", [0, 5, 7])
def test_row_17_one_flipped_bit_is_refused(folder: Path, name: str, place: float, bit: int) -> None:
    data = bytearray((folder / name).read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    (folder / name).write_bytes(data)
    with pytest.raises(DigestError, match=name.replace(".", r"\.")):
        read_artifact(folder)


@pytest.mark.parametrize("name", FILES)
def test_row_17_a_truncated_or_longer_file_is_refused(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    for changed in (data[: len(data) // 2], data[:-1], b"", data + b" "):
        (folder / name).write_bytes(changed)
        with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
            read_artifact(folder)


def test_row_17_the_manifest_of_another_model_is_refused(folder: Path, tmp_path: Path, save: Save) -> None:
    other = tmp_path / "other"
    save(other, card="# Another model\n")
    (folder / MANIFEST).write_bytes((other / MANIFEST).read_bytes())
    with pytest.raises(DigestError, match=r"DIGEST does not match manifest\.json"):
        read_artifact(folder)
    (folder / DIGEST).write_bytes((other / DIGEST).read_bytes())
    with pytest.raises(DigestError, match=r"README\.md"):
        read_artifact(folder)


@pytest.mark.parametrize("name", [REPORT_HTML, REPORT_JSON])
def test_row_17_the_report_of_another_model_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("another report")
    with pytest.raises(DigestError, match=f"DIGEST does not match {name}"):
        read_artifact(folder)


def test_a_digest_file_of_other_lines_is_refused(folder: Path) -> None:
    files = read_files(folder)
    lines = files[DIGEST].splitlines(keepends=True)
    for changed in (lines[:2], lines[::-1], [*lines, lines[0]], [lines[0].replace(b"  ", b" *"), *lines[1:]]):
        with pytest.raises(DigestError, match="DIGEST"):
            check_digest({**files, DIGEST: b"".join(changed)})


def test_sha256sum_reads_the_digest_file(folder: Path) -> None:
    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sha256sum", "-c", DIGEST], cwd=folder, capture_output=True, text=True, check=False
        )

    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    assert check().stdout == "manifest.json: OK\nreport.html: OK\nreport.json: OK\n"
    (folder / REPORT_JSON).write_text("{}")
    assert check().returncode == 1


def test_an_extra_file_is_never_opened(folder: Path) -> None:
    os.mkfifo(folder / "model.onnx.data")  # opening it would block for ever
    (folder / "weights.pkl").write_bytes(b"cos\nsystem\n")
    read_artifact(folder)


@pytest.mark.parametrize("expect", ["0" * 64, "", "é", "short", "\x1b[2J"])
def test_another_model_than_the_expected_one_is_refused(folder: Path, expect: str) -> None:
    with pytest.raises(DigestError, match="this is another model") as caught:
        read_artifact(folder, expect=expect)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        read_artifact(folder)


@pytest.mark.parametrize("name", FILES)
def test_links_are_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match=f"{name} cannot be opened as a plain file"):
        read_artifact(folder)


def test_a_hard_link_to_another_file_is_refused_by_its_bytes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder / REPORT_HTML).unlink()
    os.link(tmp_path / "secret", folder / REPORT_HTML)
    with pytest.raises(DigestError, match=REPORT_HTML):
        read_artifact(folder)


def test_only_plain_files_are_read(folder: Path) -> None:
    (folder / MODEL).unlink()
    os.mkfifo(folder / MODEL)
    with pytest.raises(ArtifactError, match="not a plain file"):
        read_artifact(folder)
    (folder / MODEL).unlink()
    (folder / MODEL).mkdir()
    with pytest.raises(ArtifactError, match="not a plain file"):
        read_artifact(folder)


@pytest.mark.parametrize("name", FILES)
def test_sizes_are_capped_before_reading(folder: Path, name: str) -> None:
    os.truncate(folder / name, FILES[name] + 1)
    with pytest.raises(ArtifactError, match="more than the"):
        read_artifact(folder)


def test_what_is_no_folder_is_explained(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        read_artifact(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="Name the folder"):
        read_artifact(folder / MODEL)
    with pytest.raises(ArtifactError, match=r"model\.onnx is missing"):
        read_artifact(tmp_path)
    with pytest.raises(ArtifactError, match="cannot be opened"):
        read_artifact("nul\0byte")


def test_row_18_a_resealed_bad_graph_is_refused_by_the_audit(folder: Path) -> None:
    reseal(folder, MODEL, graphs.model([graphs.node("Loop", ["num"], ["score"])]).SerializeToString())
    with pytest.raises(AuditError, match="audit operator"):
        read_artifact(folder)


def test_a_graph_that_takes_other_columns_than_the_manifest_says_is_refused(folder: Path) -> None:
    reseal(folder, MODEL, graphs.mixed())
    with pytest.raises(AuditError, match=r"audit layout: the graph takes \{'num': 2"):
        read_artifact(folder)


def rewrite(folder: Path, old: str, new: str) -> None:
    """Change the manifest and put its digest right again."""
    text = (folder / MANIFEST).read_text()
    assert old in text
    (folder / MANIFEST).write_text(text.replace(old, new))
    put_digest_right(folder)


def test_an_opset_other_than_the_manifest_says_is_refused(folder: Path) -> None:
    rewrite(folder, '"opset": 17', '"opset": 18')
    with pytest.raises(AuditError, match="the graph has opset 17, the manifest says 18"):
        read_artifact(folder)


def test_a_size_other_than_the_manifest_says_is_refused(folder: Path) -> None:
    size = (folder / CARD).stat().st_size
    rewrite(folder, f'"size": {size}\n', '"size": 1\n')
    with pytest.raises(DigestError, match=f"README.md: {size} bytes, the manifest says 1"):
        read_artifact(folder)


def test_all_three_inputs(tmp_path: Path, save: Save) -> None:
    columns = [("p", "number"), ("q", "boolean"), ("far", "number"), ("s", "category"), ("t", "category")]
    mixed = graphs.manifest(
        schema=Schema(columns=tuple(Column(name=name, kind=kind) for name, kind in columns)),  # type: ignore[arg-type]
        layout=Layout(num=("p", "q"), num64=("far",), txt=("s", "t")),
        categories={"s": ("a", "b"), "t": ("a", "b")},
    )
    save(tmp_path / "m", model=graphs.mixed(), manifest=mixed)
    assert read_artifact(tmp_path / "m").manifest.layout.num64 == ("far",)


def test_descriptors_are_closed(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        read_artifact(folder)
        with pytest.raises(ArtifactError):
            read_artifact(folder, expect="x")
    assert len(os.listdir("/proc/self/fd")) == before


@given(name=st.sampled_from(sorted(FILES)), data=st.binary(max_size=200))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_resealed_rubbish_raises_nothing_but_our_errors(folder: Path, name: str, data: bytes) -> None:
    old = {other: (folder / other).read_bytes() for other in FILES}
    try:
        reseal(folder, name, data)
        read_artifact(folder)
    except StillwatchError:
        pass
    finally:
        for other, content in old.items():
            (folder / other).write_bytes(content)


FORBIDDEN = {
    "pickle",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "dill",
    "yaml",
    "runpy",
    "subprocess",
    "ctypes",
}
CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "np.load", "numpy.load"}
CORE = {"artifact", "calibration", "table"}  # whatever runs between a folder and its scores


def test_nothing_that_runs_code_is_imported_or_called_in_our_sources() -> None:
    root = Path(stillwatch.__file__).parent
    for path in root.rglob("*.py"):
        core = path.relative_to(root).parts[0] in CORE
        for item in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(item, ast.Import):
                names = [alias.name for alias in item.names]
            elif isinstance(item, ast.ImportFrom):
                names = [item.module or ""]
            elif isinstance(item, ast.Call):
                tensors_only = any(ast.unparse(word) == "weights_only=True" for word in item.keywords)
                called = ast.unparse(item.func)
                assert called not in CALLS or (called == "torch.load" and tensors_only and not core), path
            tops = {name.split(".")[0] for name in names}
            assert not tops & FORBIDDEN, path
            assert not (core and "importlib" in tops), path


def test_loading_never_unpickles(folder: Path) -> None:
    """onnx and numpy import pickle themselves; using it is what must not happen."""
    script = f"""
        import pickle, marshal, sys
        from stillwatch.artifact.load import read_artifact
        from stillwatch.artifact.parity import verify
        def refuse(*args, **kwargs):
            raise AssertionError("unpickled")
        for module in (pickle, marshal):
            for name in ("load", "loads"):
                setattr(module, name, refuse)
        pickle.Unpickler = refuse
        for name in ("pickle", "_pickle", "joblib", "cloudpickle", "dill", "shelve"):
            sys.modules[name] = None  # an import from now on fails
        read_artifact({str(folder)!r})
        assert verify({str(folder)!r}).ok
        print("fine")
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert run.stdout == "fine\n", run.stderr


def test_scoring_leaves_heavy_libraries_alone() -> None:
    script = (
        "import sys, stillwatch.artifact.parity, stillwatch.artifact.write;"
        "print({'torch', 'sklearn', 'pyod', 'lightgbm', 'ray', 'scipy'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_every_file_stands_in_the_manifest_or_in_the_digest_file(folder: Path) -> None:
    listed = decode((folder / MANIFEST).read_bytes()).files
    sealed = [line.split("  ")[1] for line in (folder / DIGEST).read_text().splitlines()]
    assert {*listed, *sealed, DIGEST} == {path.name for path in folder.iterdir()} == set(FILES)
