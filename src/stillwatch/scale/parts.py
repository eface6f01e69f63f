"""A folder of parts: what it was made from, which parts stand in it, and that nothing half-written does.

Files whose names begin with "_" say what the parts are; readers of such folders pass them over.

_job.json
    what all parts have in common. A folder is never filled from two jobs.
_manifest.jsonl
    a line a part: the digest of what it was made from, its size and SHA-256, what was counted; or why it is missing.
_SUCCESS
    empty; stands there when no part is missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from stillwatch.errors import TableError
from stillwatch.scale.shards import Shard
from stillwatch.table.values import is_text
from stillwatch.table.write import write_whole
from stillwatch.unfinished import sweep_folder, unfinished

JOB, MANIFEST, SUCCESS = "_job.json", "_manifest.jsonl", "_SUCCESS"

_PART = re.compile(r"part-\d{5,}-\d{5,}\.parquet")
_ROW_GROUP = 1 << 19  # rows


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a shard.

    Attributes
    ----------
    part
        name of the file.
    digest
        of the shard.
    source
        the file that it was made from.
    rows, missing, unseen, ignored, common
        as in `scorer.Counts`.
    alerts
        rows that raise an alarm.
    size, sha256
        of the part.
    error
        why there is no part; "": there is one.
    """

    part: str
    digest: str
    source: str
    rows: int = 0
    alerts: int = 0
    missing: dict[str, int] = {}
    unseen: dict[str, int] = {}
    ignored: tuple[str, ...] = ()
    common: int = 0
    size: int = 0
    sha256: str = ""
    error: str = ""


class PartsFolder:
    """An open folder of parts; made by `open_parts`."""

    def __init__(self, path: Path, shards: Iterable[Shard]) -> None:
        self.path = path
        self.shards = list(shards)
        self.parts: dict[str, Part] = {}
        self._lines: IO[bytes] | None = None

    def resume(self) -> list[Shard]:
        """Keep the parts that are what the plan wants, remove all others; return what is left to do."""
        known = {line.part: line for line in _lines(self.path / MANIFEST)}
        for shard in self.shards:
            line = known.get(shard.part)
            if line is not None and line.digest == shard.digest and _stands(self.path, line):
                self.parts[shard.part] = line
        (self.path / SUCCESS).unlink(missing_ok=True)
        for name in os.listdir(self.path):
            if _PART.fullmatch(name) and name not in self.parts:
                (self.path / name).unlink()
        self._write_manifest()
        return [shard for shard in self.shards if shard.part not in self.parts]

    def add(self, part: Part) -> None:
        """Append a line to the manifest."""
        self.parts[part.part] = part
        if self._lines is None:
            self._lines = (self.path / MANIFEST).open("ab")
        self._lines.write(msgspec.json.encode(part) + b"\n")
        self._lines.flush()

    def finish(self) -> None:
        """Put the manifest into the order of the plan, whoever was first."""
        self.close()
        self._write_manifest()
        if not any(part.error for part in self.parts.values()):
            write_whole(self.path / SUCCESS, b"", overwrite=True)

    def close(self) -> None:
        """Sweep what killed workers left, and close the manifest."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        sweep_folder(self.path, Path.unlink)

    def _write_manifest(self) -> None:
        lines = [self.parts[shard.part] for shard in self.shards if shard.part in self.parts]
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        write_whole(self.path / MANIFEST, data, overwrite=True)


@contextmanager
def open_parts(
    path: Path, job: Mapping[str, object], shards: Iterable[Shard], *, overwrite: bool = False
) -> Iterator[PartsFolder]:
    """Open a folder for the parts of one job, which is made where it is not there.

    Parameters
    ----------
    job
        what all parts have in common. A folder that holds parts of the same job is filled up.
    overwrite
        remove the parts of another job.

    Raises
    ------
    TableError
        the folder cannot be written to, another run is writing to it, or it holds something else.
    """
    try:
        path.mkdir(exist_ok=True)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise TableError(f"{path.parent} is not a folder. Create it first.") from exc
    except (FileExistsError, NotADirectoryError) as exc:
        raise TableError(f"{path} is a file. Name a folder for the parts.") from exc
    except OSError as exc:
        raise TableError(f"{path} cannot be written to: {exc.strerror}.") from exc
    try:
        # It goes with the process that holds it, however that ends.
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise TableError(
                f"another run is writing to {path}. Wait for it, or name another folder."
            ) from exc
        _claim(path, msgspec.json.encode(job, order="sorted") + b"\n", overwrite)
        folder = PartsFolder(path, shards)
        try:
            yield folder
        finally:
            folder.close()
    finally:
        os.close(handle)


def _claim(path: Path, job: bytes, overwrite: bool) -> None:
    """Write what the folder is for, or find that it says so."""
    sweep_folder(path, Path.unlink)
    names = os.listdir(path)
    if JOB not in names:
        if names:
            raise TableError(f"{path} holds other files. Name a new or an empty folder for the parts.")
    elif (path / JOB).read_bytes() != job:
        if not overwrite:
            raise TableError(
                f"{path} holds scores of another model, alert rate or way to read the files. "
                "Name another folder, or allow it to be overwritten."
            )
        for name in [name for name in names if _PART.fullmatch(name)] + [MANIFEST, SUCCESS, JOB]:
            (path / name).unlink(missing_ok=True)
    else:
        return
    write_whole(path / JOB, job)


def write_part(target: Path, batches: Iterator[pa.RecordBatch]) -> tuple[int, str]:
    """Write batches of one schema, at least one, to a Parquet file that has its name once it is whole and on the disk.

    Returns
    -------
    Its size in bytes and its SHA-256.
    """
    with unfinished(target, partial(Path.touch, exist_ok=False)) as part:
        try:
            with part.open("w+b") as stream:
                _write(stream, batches)
                stream.flush()
                os.fsync(stream.fileno())
                size = stream.tell()
                stream.seek(0)
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)  # renamed by now, unless something failed
    return size, sha256


def _write(stream: IO[bytes], batches: Iterator[pa.RecordBatch]) -> None:
    held = [next(batches)]
    schema = held[0].schema
    rows = held[0].num_rows
    # Scores and numbers of rows hardly ever come twice: a dictionary of them is work for nothing, as is packing scores. Numbers
    # of rows often are one more than the last.
    repeated = [field.name for field in schema if field.name == "p_value" or is_text(field.type)]
    with pq.ParquetWriter(
        stream,
        schema,
        use_dictionary=repeated,
        column_encoding={field.name: "DELTA_BINARY_PACKED" for field in schema if pt.is_integer(field.type)},
        compression={field.name: "none" if field.name == "score" else "snappy" for field in schema},
    ) as writer:
        for batch in batches:
            if rows + batch.num_rows > _ROW_GROUP:
                writer.write_table(pa.Table.from_batches(held))
                held, rows = [], 0
            held.append(batch)
            rows += batch.num_rows
        writer.write_table(pa.Table.from_batches(held))


def _lines(path: Path) -> Iterator[Part]:
    """Lines of a manifest; one that was cut short by a kill is passed over, and its shard done again."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data.splitlines():
        try:
            yield msgspec.json.decode(line, type=Part)
        except msgspec.MsgspecError:
            continue


def _stands(folder: Path, line: Part) -> bool:
    if line.error:
        return False
    try:
        with (folder / line.part).open("rb") as file:
            same_size = os.fstat(file.fileno()).st_size == line.size
            return same_size and hashlib.file_digest(file, "sha256").hexdigest() == line.sha256
    except OSError:
        return False
