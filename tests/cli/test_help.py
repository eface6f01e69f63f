"""A new user finds out from the program alone what to do."""

from __future__ import annotations

import pytest
import typer.main

import stillwatch as sw
from stillwatch.cli.main import app
from tests.cli.conftest import Run

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_the_commands_are_those_of_the_design() -> None:
    assert list(COMMANDS) == [
        "demo",
        "distill",
        "score",
        "evaluate",
        "drift",
        "inspect",
        "diff",
        "recalibrate",
        "verify",
        "export",
        "serve",
    ]


def test_the_program_says_what_it_is_for_and_its_exit_codes(invoke: Run) -> None:
    for arguments in ((), ("--help",), ("-h",)):
        shown = " ".join(invoke(*arguments).out.split())
        assert "Distill a heavy anomaly detector into one small, safe file" in shown
        assert "Exit codes: 0 done; 1 data, model or option cannot be used; 2 wrong usage; 3" in shown
        assert all(name in shown for name in COMMANDS)


def test_version(invoke: Run) -> None:
    assert invoke("--version").out == f"stillwatch {sw.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_is_explained(
    invoke: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    done = invoke(name, "--help")
    assert done.code == 0
    for parameter in COMMANDS[name].params:
        assert getattr(parameter, "help", None), f"{parameter.name} is not explained"
        assert max(parameter.opts, key=len).lower() in done.out.lower()
    assert "--json" in done.out or name == "serve"  # its log is JSON
    if name in {"distill", "score", "evaluate", "inspect"}:
        assert f"stillwatch {name} " in done.out.split("Usage")[1].split("\n", 1)[1], "an example is missing"


def test_defaults_that_come_from_elsewhere_are_shown(invoke: Run) -> None:
    shown = " ".join(invoke("score", "--help").out.replace("│", " ").split())
    assert "(the model's)" in shown
    assert "(CSV to standard output)" in shown


@pytest.mark.parametrize(
    "arguments", [("frobnicate",), ("score",), ("distill", "--frob"), ("verify", "a", "b")]
)
def test_wrong_usage_is_code_2_and_names_the_help(invoke: Run, arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert "Try 'stillwatch" in done.err
