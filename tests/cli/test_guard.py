"""What goes wrong ends as one message and an exit code."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stillwatch
from stillwatch.cli.guard import FLAGS, in_flags
from stillwatch.distillation import extras
from tests.cli.conftest import Run, assert_one_message


@pytest.mark.parametrize(
    ("exc", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "scores"), "scores: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (MemoryError(), "not enough memory"),
        (ZeroDivisionError("division\x1b[31m by zero"), "ZeroDivisionError at test_guard.py:"),
    ],
)
def test_no_error_of_any_kind_shows_a_stack_trace(
    invoke: Run, monkeypatch: pytest.MonkeyPatch, exc: Exception, message: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise exc

    monkeypatch.setattr("stillwatch.cli.options.opened", fail)
    assert_one_message(invoke("inspect", "rows.csv"), message)


def test_messages_show_names_as_they_are(invoke: Run) -> None:
    """Neither markup nor emoji, and nothing that a terminal obeys."""
    assert_one_message(invoke("inspect", "[red]:smile:[/red].csv"), "[red]:smile:[/red].csv")
    assert_one_message(invoke("inspect", "\x1b[31ma\nb.csv"), "b.csv")


def test_a_missing_package_is_said_before_the_table_is_read(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "torch" else find(name))
    for command in (("distill", "not there.csv"), ("demo",)):
        assert_one_message(invoke(*command), "torch is not installed. Run: pip install 'stillwatch[train]'")


def test_messages_name_flags_where_the_library_names_arguments() -> None:
    assert (
        in_flags("x exists. replace it by overwrite=True (--overwrite)")
        == "x exists. replace it by --overwrite"
    )
    assert "--decimal ," in in_flags("Declare decimal=',' if commas are decimal marks")


@pytest.mark.parametrize("argument", FLAGS)
def test_the_words_that_are_replaced_still_stand_in_the_library(argument: str) -> None:
    root = Path(stillwatch.__file__).parent
    files = [path for path in root.rglob("*.py") if "cli" not in path.relative_to(root).parts]
    # A message may be broken over two lines of the source.
    text = (
        " ".join("".join(path.read_text() for path in files).split()).replace('" "', "").replace('" f"', "")
    )
    assert argument in text, f"{argument!r} has been reworded: mend FLAGS"


IMPORTS_SLOWLY = """
import os, sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "stillwatch":
            os.write(1, b"importing\\n")
            time.sleep(30)
sys.meta_path.insert(0, Slow())
from stillwatch_program import run
run()
"""


def test_an_interrupt_before_anything_has_begun_is_one_line() -> None:
    with subprocess.Popen([sys.executable, "-c", IMPORTS_SLOWLY], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert said == "error: interrupted; nothing had begun\n"
