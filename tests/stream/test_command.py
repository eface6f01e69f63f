from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillwatch as sw
from tests.stream.conftest import Records

PROGRAM = Path(sys.executable).with_name("stillwatch")
Write = Callable[..., Path]


def stream(model: Path, *more: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [PROGRAM, "score", model, "-", "--stream", *map(str, more)], capture_output=True, check=False, **options
    )  # fmt: skip


def running(model: Path, *more: object, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [PROGRAM, "score", model, "-", "--stream", *map(str, more)], stdin=-1, stdout=-1, stderr=-1, **options
    )


def bytes_of(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def objects(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_lines_in_and_lines_out(keyed: Path, scorer: sw.Scorer, records: Records, lines: list[bytes]) -> None:
    done = stream(keyed, input=bytes_of([*lines[:300], b"bad"]))
    assert done.returncode == 5  # something was left out
    rows = objects(done.stdout)
    np.testing.assert_array_equal(np.float32([row["score"] for row in rows]), scorer.score(records[:300]))
    said = objects(done.stderr)
    assert [letter["line"] for letter in said if "line" in letter] == [301]
    assert said[-1]["step"] == "stream"
    assert said[-1]["done"] == 300


def test_to_a_file_with_dead_letters_and_on_from_there(
    keyed: Path, lines: list[bytes], write: Write, tmp_path: Path
) -> None:
    options = ("-o", "s.ndjson", "--dead-letters", "dead.ndjson", "--raw")
    done = stream(keyed, *options, input=bytes_of([*lines[:50], b"bad"]), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (5, b"")
    assert objects((tmp_path / "dead.ndjson").read_bytes())[0]["raw"] == "bad"
    refused = stream(keyed, *options, input=b"", cwd=tmp_path)
    assert refused.returncode == 1
    assert b"--resume goes on where it ends" in refused.stderr.replace(b"\n", b" ")
    again = stream(
        keyed, *options, "--resume", input=bytes_of([*lines[:50], b"bad", *lines[50:60]]), cwd=tmp_path
    )
    assert again.returncode == 0
    assert len((tmp_path / "s.ndjson").read_bytes().splitlines()) == 60
    assert len((tmp_path / "dead.ndjson").read_bytes().splitlines()) == 1


def test_options_that_do_not_go_together(keyed: Path, tmp_path: Path) -> None:
    for words, message in (
        (("--reasons",), b"goes without --reasons"),
        (("-o", "s.csv"), b"NDJSON"),
        (("--resume",), b"goes on where a file of scores ends"),
    ):
        done = stream(keyed, *words, input=b"", cwd=tmp_path)
        assert done.returncode == 2
        assert message in b" ".join(done.stderr.replace("│".encode(), b" ").split())
    done = subprocess.run(
        [PROGRAM, "score", keyed, "-", "--raw"], input=b"", capture_output=True, check=False
    )
    assert b"--raw goes with --stream" in done.stderr
    assert stream(keyed, input=b"a,b\n1,2\n").returncode == 1


def test_an_answer_comes_while_the_source_is_open(keyed: Path, lines: list[bytes]) -> None:
    with running(keyed) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in lines[:3]:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == json.loads(line)["id"]
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_and_what_was_read_is_answered(
    keyed: Path, lines: list[bytes], sent: signal.Signals, code: int, tmp_path: Path
) -> None:
    with running(keyed, "--wait-ms", 60_000, "-o", "s.ndjson", cwd=tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(bytes_of(lines[:10]) + b'{"half')
        process.stdin.flush()
        for _ in range(500):  # until the outlet stands, and a moment for the lines
            if (tmp_path / "s.ndjson.position").exists():
                break
            time.sleep(0.02)
        time.sleep(0.2)
        process.send_signal(sent)
        assert process.wait() == code
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    rows = objects((tmp_path / "s.ndjson").read_bytes())
    assert [row["id"] for row in rows] == [json.loads(line)["id"] for line in lines[:10]]
    again = stream(keyed, "-o", "s.ndjson", "--resume", input=bytes_of(lines[:20]), cwd=tmp_path)
    assert again.returncode == 0
    assert len((tmp_path / "s.ndjson").read_bytes().splitlines()) == 20


def test_a_reader_that_goes_away_is_no_error(keyed: Path, lines: list[bytes]) -> None:
    with running(keyed) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(bytes_of(lines[:5]))
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        try:
            process.stdin.write(bytes_of(lines[:500]))
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.wait() == 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def test_a_full_disk_is_one_error_and_the_position_stays_true(
    keyed: Path, lines: list[bytes], tmp_path: Path
) -> None:
    import resource

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))

    options = ("-o", "s.ndjson", "--count", 20)
    done = stream(keyed, *options, input=bytes_of(lines[:400]), cwd=tmp_path, preexec_fn=small_disk)
    assert done.returncode == 1
    assert b"cannot be written: File too large" in done.stderr
    assert b"Traceback" not in done.stderr
    assert stream(keyed, *options, "--resume", input=bytes_of(lines[:400]), cwd=tmp_path).returncode == 0
    whole = stream(keyed, input=bytes_of(lines[:400]))
    assert (tmp_path / "s.ndjson").read_bytes() == whole.stdout


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_kill_at_any_moment_and_a_rerun_give_the_bytes_of_an_undisturbed_run(
    keyed: Path, lines: list[bytes], tmp_path: Path, seed: int
) -> None:
    """The source is slow, so that the kill comes in its middle."""
    source = [json.dumps(json.loads(line) | {"id": i}).encode() for i, line in enumerate(lines[:1_000] * 10)]
    rng = np.random.default_rng(seed)
    with running(keyed, "-o", "s.ndjson", "--count", 50, cwd=tmp_path) as process:
        assert process.stdin is not None
        stop = int(rng.integers(1_000, 9_000))
        for start in range(0, stop, 200):
            process.stdin.write(bytes_of(source[start : start + 200]))
            process.stdin.flush()
            time.sleep(0.02)
        process.kill()
        with_error = process.wait()
    assert with_error == -signal.SIGKILL
    assert stream(keyed, "-o", "s.ndjson", "--resume", input=bytes_of(source), cwd=tmp_path).returncode == 0
    assert (tmp_path / "s.ndjson").read_bytes() == stream(keyed, input=bytes_of(source)).stdout


@pytest.mark.slow
def test_a_slow_reader_and_a_bad_line_among_many_take_no_memory(
    keyed: Path, lines: list[bytes], tmp_path: Path
) -> None:
    """The reader takes nothing for a second, then all of it."""
    repeat = 100_000 // len(lines) + 1
    path = tmp_path / "events.ndjson"
    with path.open("wb") as file:
        for _ in range(repeat):
            file.write(bytes_of(lines))
        file.write(b"bad\n" + bytes_of(lines))
    events = repeat * len(lines) + len(lines)
    with subprocess.Popen(
        [PROGRAM, "score", keyed, path, "--stream"], stdout=-1, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(1)
        assert process.stdout is not None
        found = 0
        for _ in process.stdout:
            found += 1
            if found == events // 2:
                status = Path(f"/proc/{process.pid}/status").read_text()
    assert process.returncode == 5
    assert found == events
    assert int(status.partition("VmHWM:")[2].split()[0]) < 350 * 1024
