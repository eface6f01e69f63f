from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import stillwatch as sw
from stillwatch.stream import Outlet, Totals, score_stream

Save = Callable[..., Path]


def batches(lines: Sequence[bytes], size: int = 50) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


@pytest.fixture
def mixed(lines: list[bytes]) -> list[bytes]:
    """Lines of which some are bad or blank, also at the ends of batches."""
    found = []
    for i, line in enumerate(lines[:400]):
        found.append(line)
        if i % 7 == 0:
            found.append(b"bad %d" % i)
        if i % 31 == 0:
            found.append(b"")
    return found


def run(scorer: sw.Scorer, source: Sequence[bytes], folder: Path, **options: bool) -> Totals:
    outlet = Outlet(folder / "s.ndjson", folder / "dead.ndjson", **options)
    try:
        return score_stream(scorer, batches(source), outlet)
    finally:
        outlet.close()


def test_scores_and_dead_letters(scorer: sw.Scorer, mixed: list[bytes], tmp_path: Path) -> None:
    totals = run(scorer, mixed, tmp_path)
    bad = [i for i, line in enumerate(mixed, start=1) if line.startswith(b"bad")]
    assert (totals.rows, totals.refused) == (400, len(bad))
    scores = [json.loads(line) for line in (tmp_path / "s.ndjson").read_text().splitlines()]
    assert [row["id"] for row in scores] == [json.loads(line)["id"] for line in mixed if line[:1] == b"{"]
    letters = [json.loads(line) for line in (tmp_path / "dead.ndjson").read_text().splitlines()]
    assert [letter["line"] for letter in letters] == bad
    assert all(letter.keys() == {"line", "reason"} for letter in letters)
    assert "bad" not in letters[0]["reason"]


def test_the_line_itself_comes_only_where_it_was_asked_for(
    scorer: sw.Scorer, mixed: list[bytes], tmp_path: Path
) -> None:
    run(scorer, mixed, tmp_path, raw=True)
    assert json.loads((tmp_path / "dead.ndjson").read_text().splitlines()[0])["raw"] == "bad 0"


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("keys", "start"), [(True, 0), (True, 20), (False, 0)])
@pytest.mark.parametrize("calls", [2, 3, 5, 8, 11])
def test_a_stream_that_died_anywhere_goes_on_as_if_it_had_not(
    scorer: sw.Scorer,
    distilled: sw.Distillation,
    mixed: list[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calls: int,
    keys: bool,
    start: int,
) -> None:
    """It dies at a write, in the middle of a batch; positions are kept after every batch, or never after the first.

    With keys the source may begin at any event up to the last one that was answered.
    """
    used = scorer if keys else distilled.scorer
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    run(used, mixed, whole)

    write, count = os.write, iter(range(99))

    def dies(descriptor: int, data: bytes) -> int:
        if next(count) == calls:
            write(descriptor, bytes(data)[: len(data) // 2])
            raise Killed
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", dies)
        patch.setattr("stillwatch.stream.outlet._EVERY", 0.0 if calls % 2 else 1e9)
        outlet = Outlet(killed / "s.ndjson", killed / "dead.ndjson")
        with pytest.raises(Killed):
            score_stream(used, batches(mixed), outlet)  # and nobody closes it
    kept = json.loads((killed / "s.ndjson.position").read_text())
    run(used, mixed[start:] if kept["key"] else mixed, killed, resume=True)
    assert (killed / "s.ndjson").read_bytes() == (whole / "s.ndjson").read_bytes()
    letters = [json.loads(line)["reason"] for line in (killed / "dead.ndjson").read_text().splitlines()]
    assert letters == [
        json.loads(line)["reason"] for line in (whole / "dead.ndjson").read_text().splitlines()
    ]


def test_a_source_that_grows_is_resumed(scorer: sw.Scorer, lines: list[bytes], tmp_path: Path) -> None:
    assert run(scorer, lines[:120], tmp_path, resume=True).rows == 120
    assert run(scorer, lines[:120], tmp_path, resume=True).rows == 0
    assert run(scorer, lines[:300], tmp_path, resume=True).rows == 180
    ids = [json.loads(line)["id"] for line in (tmp_path / "s.ndjson").read_text().splitlines()]
    assert ids == [json.loads(line)["id"] for line in lines[:300]]


def test_a_source_without_the_last_event_is_refused(
    scorer: sw.Scorer, lines: list[bytes], tmp_path: Path
) -> None:
    run(scorer, lines[:120], tmp_path)
    before = (tmp_path / "s.ndjson").read_bytes()
    with pytest.raises(sw.InputError, match=r"ended before the event with key \['n119'\]"):
        run(scorer, lines[200:300], tmp_path, resume=True)
    assert (tmp_path / "s.ndjson").read_bytes() == before


def test_targets_in_the_way(scorer: sw.Scorer, lines: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "s.ndjson").write_text("mine\n")
    with pytest.raises(sw.InputError, match="exists, and resume=True"):
        run(scorer, lines, tmp_path)
    with pytest.raises(sw.InputError, match="no position beside it"):
        run(scorer, lines, tmp_path, resume=True)
    assert (tmp_path / "s.ndjson").read_text() == "mine\n"
    run(scorer, lines[:9], tmp_path, overwrite=True)
    assert len((tmp_path / "s.ndjson").read_bytes().splitlines()) == 9
    (tmp_path / "s.ndjson").write_bytes(b"")
    with pytest.raises(sw.InputError, match="fewer than"):
        run(scorer, lines, tmp_path, resume=True)
    (tmp_path / "s.ndjson.position").write_text("{")
    with pytest.raises(sw.InputError, match="cannot be read as a position"):
        run(scorer, lines, tmp_path, resume=True)
    with pytest.raises(sw.InputError, match="cannot be written"):
        Outlet(tmp_path / "no" / "s.ndjson", 2)


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_csv_is_told_by_its_first_line(
    scorer: sw.Scorer, lines: list[bytes], tmp_path: Path, bom: bytes
) -> None:
    records = [json.loads(line) for line in lines[:100]]
    source = [b"", bom + ";".join(records[0]).encode()]
    source += [";".join(map(str, record.values())).encode() for record in records]
    (tmp_path / "csv").mkdir()
    (tmp_path / "json").mkdir()
    run(scorer, source, tmp_path / "csv")
    run(scorer, lines[:100], tmp_path / "json")
    assert (tmp_path / "csv/s.ndjson").read_bytes() == (tmp_path / "json/s.ndjson").read_bytes()


def test_no_lines_no_scores(scorer: sw.Scorer, tmp_path: Path) -> None:
    assert run(scorer, [], tmp_path) == run(scorer, [b"", b" "], tmp_path, overwrite=True) == Totals()
