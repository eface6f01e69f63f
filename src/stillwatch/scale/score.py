"""Score files of any number and size into a folder of parts, with any engine, and go on where a run was cut short."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from stillwatch.artifact.load import read_artifact
from stillwatch.artifact.manifest import Manifest
from stillwatch.calibration.conformal import finest_rate, threshold
from stillwatch.errors import InputError, TableError, WorkerError
from stillwatch.scale.engine import Engine
from stillwatch.scale.local import Local
from stillwatch.scale.parts import Part, PartsFolder, open_parts, write_part
from stillwatch.scale.shards import Shard, check_unchanged, open_shard, plan
from stillwatch.scorer import Scorer
from stillwatch.scores import check_keys, key_columns, score_columns
from stillwatch.table.encoding import guess_told
from stillwatch.table.files import File
from stillwatch.table.read import BATCH

FEW_BYTES = 256 << 20
"""Up to so many bytes of input, processes take longer to start than they save."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Scored:
    """What a run left behind.

    Attributes
    ----------
    parts
        in the order of the plan; those with an error are missing.
    kept
        how many of them stood there before.
    alert_rate
        the rate at which rows were alerted.
    notes
        what had to be guessed to read the files, and may be wrong.
    """

    parts: tuple[Part, ...]
    kept: int
    alert_rate: float
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Part, ...]:
        """Parts that are missing, and why."""
        return tuple(part for part in self.parts if part.error)

    @property
    def rows(self) -> int:
        """Rows in all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def alerts(self) -> int:
        """Alerts in all parts."""
        return sum(part.alerts for part in self.parts)

    @property
    def missing(self) -> dict[str, int]:
        """Feature column -> values that were missing."""
        return _summed(part.missing for part in self.parts)

    @property
    def unseen(self) -> dict[str, int]:
        """Category column -> values never seen in training, or too rare to be stored."""
        return _summed(part.unseen for part in self.parts)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns of the files that the model does not use."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.ignored))

    @property
    def common(self) -> int:
        """With `by`: rows that were judged by the common thresholds; see `scorer.Counts`."""
        return sum(part.common for part in self.parts)


def score_files(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    alert_rate: float | None = None,
    by: str | None = None,
    engine: Engine | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Scored:
    """Score files into a folder of Parquet parts: key columns, score, p_value, alert.

    The parts are the same, byte for byte, whatever the engine, the number of workers and the number of times the run was
    cut short. Run again, it does what is not done: parts are checked by their digests, and those whose input has changed
    (its size, time or end) are made anew.

    Parameters
    ----------
    model
        a model folder.
    data
        a path, a glob, a folder or a list of paths. A piece of a file that cannot be scored is recorded, the others
        are scored.
    out
        folder to fill; its parent exists. With workers on several machines, they all see it and the files.
    alert_rate
        share of normal rows that may raise an alarm; None: the model's.
    by
        column that the model was calibrated by; see `Scorer.judge`.
    engine
        who does the work; None: processes of this machine, or this process where there is little to do.
    delimiter, encoding
        of text files; see `open_source`.
    overwrite
        replace parts of another model or alert rate.
    progress
        called with ("score", rows done, rows in all); all is estimated where files do not tell, 0 before that.

    Raises
    ------
    ArtifactError
        the model folder is damaged or unsafe.
    InputError
        no file is found, no shard could be scored, or `out` cannot be used.
    OSError
        parts cannot be written. What is done stands, and a rerun goes on.
    """
    found = read_artifact(model)
    manifest = found.manifest
    finest = finest_rate(manifest.calibration)
    rate = max(manifest.alert_rate, finest) if alert_rate is None else alert_rate
    threshold(manifest.calibration, rate)
    shards = plan(data, delimiter=delimiter, encoding=encoding)
    target = Path(os.path.abspath(out))
    keys = _key_types(manifest, shards, delimiter)
    common = {
        "format": 1,
        "model": found.digest,
        "alert_rate": rate,
        "by": by,
        "delimiter": delimiter,
        "encoding": encoding,
        "keys": {field.name: str(field.type) for field in keys or ()},
    }
    with open_parts(target, common, shards, overwrite=overwrite) as folder:
        todo = folder.resume()
        kept = len(shards) - len(todo)
        work = Scoring(manifest, found.model, rate, by, str(target), keys, delimiter)
        if engine is None:
            engine = Local(1 if sum(shard.size for shard in todo) < FEW_BYTES else None)
        _fill(folder, todo, work, engine, progress)
        folder.finish()
    parts = tuple(folder.parts[shard.part] for shard in shards)
    if all(part.error for part in parts):
        raise InputError(parts[0].error)
    encodings = {shard.path: shard.encoding for shard in shards}
    return Scored(parts, kept, rate, guess_told(sorted(encodings.items()), encoding))


def _fill(
    folder: PartsFolder, todo: list[Shard], work: Scoring, engine: Engine, progress: Progress | None
) -> None:
    told = _Told(folder, progress)
    try:
        for _, part in engine.map(start_scoring, work, todo):
            folder.add(part)
            told.add(part)
    except WorkerError as exc:
        for place, reason in exc.lost.items():
            folder.add(_failed(todo[place], reason))
            told.add(folder.parts[todo[place].part])


class _Told:
    """Progress in rows; how many there are in all is estimated by bytes where files do not tell."""

    def __init__(self, folder: PartsFolder, progress: Progress | None) -> None:
        self._progress = progress
        self._sizes = {shard.part: shard.size for shard in folder.shards}
        self._bytes = sum(self._sizes.values())
        rows = [shard.rows for shard in folder.shards]
        self._known = None if None in rows else sum(filter(None, rows))
        self._left = len(rows)
        self._done_rows = self._done_bytes = 0
        for part in folder.parts.values():
            self._count(part)
        self._tell()

    def add(self, part: Part) -> None:
        """Count a part, and tell."""
        self._count(part)
        self._tell()

    def _count(self, part: Part) -> None:
        self._left -= 1
        self._done_rows += part.rows
        self._done_bytes += self._sizes[part.part]

    def _tell(self) -> None:
        if self._progress is None:
            return
        if not self._left:
            total = self._done_rows
        elif self._known is not None:
            total = self._known
        else:
            total = self._done_rows * self._bytes // max(1, self._done_bytes)
        self._progress("score", self._done_rows, total)


def _key_types(manifest: Manifest, shards: list[Shard], delimiter: str | None) -> pa.Schema | None:
    """Types of the key columns in the first file that has them: all parts get the same."""
    keys = manifest.schema.keys
    for shard in shards if keys else ():
        try:
            _, file = open_shard(shard, keys, delimiter=delimiter)
            check_keys(keys, file.names)
            with closing(file.batches(1)) as batches:
                first = next(batches, None)
        except InputError:
            continue
        if first is not None:
            return pa.schema([(name, array.type) for name, array in key_columns(first, keys).items()])
    return None


@dataclass(frozen=True)
class Scoring:
    """All that a worker needs to know; it is sent to each once."""

    manifest: Manifest
    model: bytes
    rate: float
    by: str | None
    out: str
    keys: pa.Schema | None
    delimiter: str | None


def start_scoring(work: Scoring) -> Callable[[Shard], Part]:
    """Open the session, and give the function that scores a shard."""
    return partial(_score, Scorer(work.manifest, work.model), work)


def _score(scorer: Scorer, work: Scoring, shard: Shard) -> Part:
    """Write one part; what is wrong with the shard itself is no error of the run."""
    reading = _Reading(scorer, work, shard)
    try:
        size, sha256 = write_part(Path(work.out, shard.part), reading.batches())
    except InputError as exc:
        return _failed(shard, str(exc))
    return Part(
        part=shard.part,
        digest=shard.digest,
        source=shard.path,
        rows=reading.rows,
        alerts=reading.alerts,
        missing=dict(reading.missing),
        unseen=dict(reading.unseen),
        ignored=reading.ignored,
        common=reading.common,
        size=size,
        sha256=sha256,
    )


def _failed(shard: Shard, reason: str) -> Part:
    error = reason if reason.startswith(shard.path) else f"{shard.title}: {reason}"
    return Part(part=shard.part, digest=shard.digest, source=shard.path, error=error)


class _Reading:
    """A shard while it is read and scored, and what was counted so far."""

    def __init__(self, scorer: Scorer, work: Scoring, shard: Shard) -> None:
        self.scorer, self.work, self.shard = scorer, work, shard
        self.rows = self.alerts = self.common = 0
        self.missing: Counter[str] = Counter()
        self.unseen: Counter[str] = Counter()
        self.ignored: tuple[str, ...] = ()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The shard's scores; at least one batch."""
        work, schema = self.work, self.work.manifest.schema
        wanted = [column.name for column in schema.features] + list(schema.keys)
        wanted += [] if work.by is None else [work.by]
        whole, file = open_shard(self.shard, wanted, delimiter=work.delimiter)
        check_keys(schema.keys, whole.names)
        known = {column.name for column in schema.columns}
        self.ignored = tuple(name for name in whole.names if name not in known)
        for batch in _at_least_one(file):
            verdict = self.scorer.judge(
                batch, work.rate, by=work.by, first_row=self.shard.first_row + self.rows
            )
            self.rows += len(verdict.score)
            self.alerts += int(verdict.alert.sum())
            self.missing.update(verdict.counts.missing)
            self.unseen.update(verdict.counts.unseen)
            self.common += verdict.counts.common
            yield score_columns(self._with_key_types(batch), schema.keys, verdict)
        check_unchanged(self.shard)

    def _with_key_types(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The key columns, which have one type in all parts."""
        columns = key_columns(batch, self.work.manifest.schema.keys)
        for name, array in columns.items():
            wanted = None if self.work.keys is None else self.work.keys.field(name).type
            if array.type == wanted:
                continue
            if wanted is None or array.null_count < len(array):
                raise TableError(
                    f"key column {name!r} is of type {array.type} here and of type {wanted} in the first file. "
                    "Give it one type in all files.",
                    column=name,
                )
            columns[name] = pa.nulls(len(array), wanted)
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _at_least_one(file: File) -> Iterator[pa.RecordBatch]:
    """Batches of at most `BATCH` rows; an empty one where there are no rows."""
    empty = True
    for batch in file.batches(BATCH):
        for start in range(0, batch.num_rows, BATCH):
            empty = False
            yield batch.slice(start, BATCH)
    if empty:
        yield pa.RecordBatch.from_arrays([pa.nulls(0) for _ in file.names], names=list(file.names))


def _summed(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
