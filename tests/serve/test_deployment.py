"""What the documentation says about running the service is true."""

from __future__ import annotations

import configparser
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from stillwatch.cli.main import app
from stillwatch.serve.limits import Limits
from tests.serve.conftest import Ask
from tests.serve.test_metrics import NAMES

ROOT = Path(__file__).parents[2]
SERVING = (ROOT / "docs" / "serving.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", SERVING, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def flags() -> dict[str, Any]:
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {flag: parameter for parameter in command.params for flag in parameter.opts}


def check_words(words: list[str]) -> None:
    """Raise where the command line would."""
    typer.main.get_command(app).commands["serve"].make_context("serve", list(words))  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(block("yaml"))
    return found


def test_the_systemd_unit(ask: Ask) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(block("ini"))
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words[0].endswith("/stillwatch")
    assert words[1] == "serve"
    check_words(words[2:])
    assert int(unit["Service"]["TimeoutStopSec"]) > Limits.drain_seconds
    assert int(unit["Service"]["LimitNOFILE"]) > Limits.connections
    assert "HUP" in unit["Service"]["ExecReload"]


def test_the_kubernetes_probes(ask: Ask, kubernetes: dict[str, Any]) -> None:
    pod = kubernetes["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    check_words(container["args"])
    port = container["ports"][0]["containerPort"]
    assert str(port) == container["args"][container["args"].index("--port") + 1]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == port
        assert ask("GET", asked["path"]).status_code == 200
    seconds = [
        float(container["args"][container["args"].index(flag) + 1])
        for flag in ("--linger-seconds", "--drain-seconds")
    ]
    assert pod["terminationGracePeriodSeconds"] > sum(seconds)
    assert (
        kubernetes["spec"]["selector"]["matchLabels"] == kubernetes["spec"]["template"]["metadata"]["labels"]
    )


def test_the_dockerfile_installs_what_serves_and_nothing_else() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "[serve]" in DOCKERFILE
    assert not any(re.match(r"torch|scikit|scipy|stillwatch", need) for need in extras["serve"])
    for copied in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert set(allowed) == {
        name for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()
    }
    assert re.search(r'^ENTRYPOINT \["stillwatch", "serve"\]$', DOCKERFILE, re.MULTILINE)
    command = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert command is not None
    check_words(yaml.safe_load(command[1]))
    assert "USER 10001" in DOCKERFILE


def test_the_proxy_lets_through_what_the_service_takes() -> None:
    megabytes = re.search(r"client_max_body_size (\d+)m;", block("nginx"))
    assert megabytes is not None
    assert int(megabytes[1]) << 20 == Limits.body_bytes
    assert block("nginx").count("{") == block("nginx").count("}")


def test_every_flag_and_metric_that_is_named_exists_and_none_is_left_out(ask: Ask) -> None:
    known = flags()
    assert set(re.findall(r"`(--[a-z-]+)", SERVING)) <= {*known, "--help"}
    named = set(re.findall(r"`(stillwatch_\w+?)(?:_total)?[`{]", SERVING))
    assert named == NAMES


def test_every_path_that_is_named_answers(ask: Ask) -> None:
    table = SERVING.partition("## Ways in")[2].partition("Outputs are")[0]
    named = re.findall(r"^\| `(GET|POST) (.*?) \|", table, re.MULTILINE)
    assert len(named) == 6
    for method, paths in named:
        for path in re.findall(r"(?<![.\w])/[\w/.]+", paths.replace("NAME", "mixed")):
            full = path if path not in {"/arrow", "/ready"} else f"/v2/models/mixed{path}"
            assert "there is nothing here" not in ask(method, full).text, full


def test_the_limits_that_are_named_are_the_defaults() -> None:
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", SERVING.partition("## Limits")[2], re.MULTILINE))
    limits = Limits()
    assert rows["body"] == f"{limits.body_bytes >> 20} MB"
    assert rows["rows of a request"] == f"{limits.rows:,}"
    assert rows["columns of a request, used or not"] == f"{limits.columns:,}"
    assert rows["what a body unfolds to, about"] == f"{limits.decoded_bytes >> 20} MB"
    assert rows["all bodies together"] == f"{limits.held_bytes >> 20} MB"
    assert rows["waiting requests"] == f"{limits.waiting}, of these {limits.waiting_large} large ones"
    assert rows["from the first byte to the end of the body"] == f"{limits.read_seconds:g} s"
    assert rows["from there to the answer"] == f"{limits.answer_seconds:g} s"
    assert rows["a client that does not read"] == f"{limits.write_seconds:g} s"
    assert rows["connections"] == str(limits.connections)
    assert rows["head; requests sent ahead"] == f"{limits.head_bytes >> 10} kB; {limits.pipelined}"


def test_the_flags_have_the_defaults_of_the_limits() -> None:
    known = flags()
    limits = Limits()
    assert known["--max-rows"].default == limits.rows
    assert known["--max-body-mb"].default << 20 == limits.body_bytes
    assert known["--max-waiting"].default == limits.waiting
    assert known["--read-seconds"].default == limits.read_seconds
    assert known["--answer-seconds"].default == limits.answer_seconds
    assert known["--drain-seconds"].default == limits.drain_seconds
