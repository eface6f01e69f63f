from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stillwatch as sw
from stillwatch.scale import Local, engine_named


def start_square(context: int) -> Callable[[int], tuple[int, int]]:
    return lambda item: (item * item + context, os.getpid())


def start_dying(folder: Path) -> Callable[[int], int]:
    """Item 3 kills its worker at the first try, item 5 at every try."""

    def work(item: int) -> int:
        tried = folder / str(item)
        if item == 5 or (item == 3 and not tried.exists()):
            tried.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    return work


def start_raising(context: None) -> Callable[[int], int]:
    def work(item: int) -> int:
        if item == 2:
            raise OSError(28, "No space left on device")
        return item

    return work


def start_threads(context: None) -> Callable[[int], int]:
    import pyarrow as pa

    return lambda item: pa.cpu_count()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_item_is_mapped_once_whoever_does_it() -> None:
    for workers in (1, 2):
        found = dict(Local(workers).map(start_square, 100, range(7)))
        assert {place: result[0] for place, result in found.items()} == {i: i * i + 100 for i in range(7)}
        here = {process for _, process in found.values()} == {os.getpid()}
        assert here == (workers == 1)
        assert here or not any(alive(process) for _, process in found.values())
    assert dict(Local(2).map(start_square, 0, [])) == {}


def test_workers_stay_while_the_engine_is_open_and_leave_with_it() -> None:
    context = 1_000
    with Local(2) as engine:
        first = {process for _, (_, process) in engine.map(start_square, context, range(8))}
        again = {process for _, (_, process) in engine.map(start_square, context, range(8))}
        assert again <= first
        other = {process for _, (_, process) in engine.map(start_square, 7, range(8))}
        assert not other & first
    assert not any(map(alive, first | other))


def test_a_worker_that_dies_is_replaced_and_a_piece_that_kills_is_given_up(tmp_path: Path) -> None:
    found: list[tuple[int, int]] = []
    with pytest.raises(sw.WorkerError, match="its worker died 3 times, at last with exit code -9") as caught:
        found.extend(Local(2).map(start_dying, tmp_path, range(8)))
    assert sorted(found) == [(i, i) for i in (0, 1, 2, 3, 4, 6, 7)]
    assert list(caught.value.lost) == [5]


def test_what_the_work_raises_is_raised_here_and_ends_the_workers() -> None:
    with pytest.raises(OSError, match="No space left"):
        list(Local(2).map(start_raising, None, range(6)))


def test_workers_work_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert {threads for _, threads in Local(2).map(start_threads, None, range(4))} == {1}


def test_what_cannot_be_sent_is_said() -> None:
    with pytest.raises(sw.InputError, match="cannot be sent to another process"):
        list(Local(2).map(start_square, lambda: 0, range(3)))  # type: ignore[arg-type]
    with pytest.raises(sw.InputError, match="cannot be sent to another process"):
        list(Local(2).map(start_square, threading.Lock(), range(3)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "dask"}, "engine 'dask' is unknown. Use one of local, ray."),
        ({"name": "local", "workers": 0}, "workers=0: expected at least 1"),
        ({"name": "local", "address": "auto"}, "is for the engine 'ray'"),
    ],
)
def test_engines_go_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(sw.InputError, match=message):
        engine_named(**options)
    assert isinstance(engine_named("local", workers=3), Local)


UNGUARDED = """
from stillwatch.scale import Local
def start(context):
    return abs
print(list(Local(2).map(start, None, range(5))))
"""


def test_a_script_without_its_guard_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "InputError: processes end before they can work (exit code 1). In a script" in done.stderr
