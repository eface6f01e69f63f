"""The life of the process: ready, draining, ended, reloaded."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import msgspec
import pyarrow as pa
import pytest

from stillwatch.artifact.digest import seal
from stillwatch.artifact.load import read_artifact, read_files
from stillwatch.artifact.manifest import DIGEST, MANIFEST, encode
from tests.serve.bodies import inference, records
from tests.serve.conftest import TOKEN
from tests.serve.process import PROGRAM, Process, until


def ready(process: Process) -> int:
    return httpx.get(f"{process.url}/v2/health/ready").status_code


def test_row_21_sigterm_answers_what_has_come_and_ends_with_0(numbers: Path) -> None:
    with Process([numbers]) as process:
        held = process.connect()
        held.sendall(b"POST /v2/models/numbers/infer HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{")
        time.sleep(0.2)
        process.send(signal.SIGTERM)
        time.sleep(0.3)
        held.sendall(b"}")
        answer = held.recv(65_536)
        held.close()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"connection: close" in answer
        assert process.wait() == 0
    assert [line["event"] for line in process.lines if line["event"] != "request"] == [
        "listening",
        "draining",
        "ended",
    ]


@pytest.mark.slow
def test_live_is_not_ready(numbers: Path) -> None:
    """While it lingers, a balancer can see that it should send no more; what comes is still answered."""
    with Process([numbers], "--linger-seconds", "5") as process:
        assert ready(process) == 200
        process.send(signal.SIGTERM)
        time.sleep(0.3)
        assert ready(process) == httpx.get(f"{process.url}/ping").status_code == 503
        assert httpx.get(f"{process.url}/v2/models/numbers/ready").status_code == 503
        assert httpx.get(f"{process.url}/v2/health/live").status_code == 200
        body = {"inputs": [{"name": "rows", "shape": [1, 5], "datatype": "FP32", "data": [0] * 5}]}
        assert httpx.post(f"{process.url}/v2/models/numbers/infer", json=body).status_code == 200
        assert process.wait() == 0


@pytest.mark.slow
def test_row_21_a_second_signal_ends_at_once(numbers: Path) -> None:
    with (
        Process([numbers], "--drain-seconds", "60", "--read-seconds", "60") as process,
        process.connect() as held,
    ):
        held.sendall(b"POST /v2/models/numbers/infer HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")
        time.sleep(0.2)
        process.send(signal.SIGTERM)
        time.sleep(0.3)
        process.send(signal.SIGTERM)
        assert process.wait(5) == 0


@pytest.mark.slow
def test_row_21_the_drain_has_an_end(numbers: Path) -> None:
    with (
        Process([numbers], "--drain-seconds", "1", "--read-seconds", "60") as process,
        process.connect() as held,
    ):
        held.sendall(b"POST /v2/models/numbers/infer HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")
        time.sleep(0.2)
        process.send(signal.SIGTERM)
        assert process.wait(5) == 0


@pytest.mark.slow
def test_row_21_after_sigkill_a_restart_needs_no_clean_up(numbers: Path) -> None:
    with Process([numbers]) as first:
        port = first.port
        first.send(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
    with Process([numbers], "--port", str(port)) as second:
        assert second.port == port
        assert ready(second) == 200


@pytest.mark.slow
def test_row_20_a_swap_under_load_fails_no_request_and_names_its_model(
    model: Path, numbers: Path, rows: pa.Table, tmp_path: Path
) -> None:
    """Good, bad, the same, and two signals at once."""
    shutil.copytree(model, tmp_path / "m")
    one = {"dataframe_records": records(rows.slice(0, 1))}
    answers: list[tuple[int, str, float]] = []
    ended = threading.Event()
    with Process([tmp_path / "m"], "--reload-seconds", "0", "--quiet") as process:

        def load() -> None:
            with httpx.Client(base_url=process.url) as client:
                while not ended.is_set():
                    answer = client.post("/invocations", json=one)
                    said = answer.json()["predictions"][0]["score"]
                    answers.append((answer.status_code, answer.headers["x-model-digest"], said))

        thread = threading.Thread(target=load)
        thread.start()
        try:
            for source, result in (
                (model, "same"),
                (None, "refused"),
                (tmp_path / "other", "swapped"),
                (model, "swapped"),
            ):
                if source == tmp_path / "other":
                    _sibling(model, source)
                _put(tmp_path / "m", source)
                process.send(signal.SIGHUP)
                process.send(signal.SIGHUP)
                process.wait_for("reload", result=result)
                if result == "swapped" and source is not None:
                    digest = read_artifact(source).digest
                    until(lambda digest=digest: answers and answers[-1][1] == digest)  # type: ignore[misc]
        finally:
            ended.set()
            thread.join()
    assert len(answers) > 10
    assert {status for status, *_ in answers} == {200}
    by_digest = {
        digest: {round(score, 4) for _, d, score in answers if d == digest} for _, digest, _ in answers
    }
    assert len(by_digest) == 2
    assert all(len(scores) == 1 for scores in by_digest.values())


def _sibling(model: Path, target: Path) -> None:
    """Another model of the same columns: its manifest names another default rate."""
    shutil.copytree(model, target)
    files = dict(read_files(target))
    manifest = msgspec.structs.replace(read_artifact(target).manifest, alert_rate=0.05)
    files[MANIFEST] = encode(manifest)
    (target / MANIFEST).write_bytes(files[MANIFEST])
    (target / DIGEST).write_bytes(seal(files))


def _put(folder: Path, source: Path | None) -> None:
    old = folder.with_name("old")
    os.rename(folder, old)
    if source is None:
        (folder / "nothing").mkdir(parents=True)
    else:
        shutil.copytree(source, folder.with_name("incoming"))
        os.rename(folder.with_name("incoming"), folder)
    shutil.rmtree(old)


def test_the_command_refuses_a_public_address_without_a_token(numbers: Path) -> None:
    command = [PROGRAM, "serve", numbers, "--host", "0.0.0.0", "--port", "0"]  # noqa: S104 - that is the point
    environment = {name: value for name, value in os.environ.items() if name != "STILLWATCH_TOKEN"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "--insecure" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_takes_the_token_from_the_environment(numbers: Path) -> None:
    with Process([numbers], environment={"STILLWATCH_TOKEN": TOKEN}) as process:
        assert httpx.get(f"{process.url}/v2").status_code == 401
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{process.url}/v2", headers=headers).status_code == 200


def test_a_damaged_model_is_not_served(numbers: Path, tmp_path: Path) -> None:
    shutil.copytree(numbers, tmp_path / "m")
    (tmp_path / "m" / "model.onnx").write_bytes(b"")
    done = subprocess.run([PROGRAM, "serve", tmp_path / "m"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "model.onnx" in done.stderr


def test_every_log_line_is_json(numbers: Path) -> None:
    with Process([numbers]) as process:
        assert process.say(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        httpx.get(f"{process.url}/ping")
        process.send(signal.SIGTERM)
        assert process.wait() == 0  # it parses every line
    json.dumps(process.lines)


def test_serving_loads_nothing_heavy(numbers: Path) -> None:
    code = (
        "import sys\n"
        "import stillwatch.serve.server\n"
        "from stillwatch.serve.models import open_models\n"
        f"open_models([{str(numbers)!r}])\n"
        "assert not {'torch', 'sklearn', 'pandas', 'scipy', 'jinja2', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_of_the_protocol_is_answered_over_a_socket(served: Process, rows: pa.Table) -> None:
    body = json.loads(json.dumps(inference(rows.slice(0, 2)), default=str))
    answer = httpx.post(f"{served.url}/v2/models/mixed/infer", json=body)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"]


def test_row_21_a_thread_that_is_stuck_does_not_keep_the_process() -> None:
    """Python waits for threads at its end; the drain must not."""
    code = (
        "import threading, time\n"
        "from stillwatch.serve.server import leave\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "leave(0.1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=30, check=False)
    assert done.returncode == 0
