"""The record that passes from teacher to student."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillwatch.errors import InputError
from stillwatch.knowledge.profile import Profile
from stillwatch.knowledge.soften import Softener

TRAIN = "train"
NEAR = "local"  # the kind of synthetic rows that lie where new rows would
HARD = "hard"  # the kind that lies around rows which a scout got wrong
_ROWS, _PROFILE, _PROVENANCE = "rows.parquet", "profile.parquet", "provenance.json"


@dataclass(frozen=True)
class Knowledge:
    """Rows on which a teacher was asked, and what it said.

    Attributes
    ----------
    x
        (n, d) float32 features.
    raw
        (n,) float64 scores as the teacher gave them; higher = more abnormal. Training rows have out-of-sample scores where the
        teacher has such a form.
    soft
        (n,) float32 raw scores softened; see `knowledge.soften`.
    guard
        (n,) float32 what the graph adds to the student's answer; see `features.number`.
    kind
        (n,) str, "train" or the kind of synthetic row.
    held_out
        (n,) bool, rows that no student trains on: they and their parents decide when training stops.
    uncertainty
        (n,) float32 how far the members of the teacher disagree about a row: the standard deviation of their scores on one
        scale; None: the teacher has no members.
    profile
        what the teacher said of one column at a time; None: it was not asked.
    provenance
        JSON-able: teacher, softening, seed, shares, versions.
    """

    x: NDArray[np.float32]
    raw: NDArray[np.float64]
    soft: NDArray[np.float32]
    guard: NDArray[np.float32]
    kind: NDArray[np.str_]
    held_out: NDArray[np.bool_]
    provenance: dict[str, Any]
    uncertainty: NDArray[np.float32] | None = None
    profile: Profile | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def target(self) -> NDArray[np.float32]:
        """(n,) float32, what the student learns: the soft score less the guard."""
        return self.soft - self.guard

    @property
    def softener(self) -> Softener:
        """How raw scores became soft ones."""
        form = self.provenance["softening"]
        return Softener(form["center"], form["scale"])

    def only(self, kind: str) -> Knowledge:
        """The rows of one kind, such as "train"."""
        return self.take(np.flatnonzero(self.kind == kind))

    def take(self, chosen: NDArray[np.intp]) -> Knowledge:
        """Some rows, by their places."""
        return replace(
            self,
            x=self.x[chosen],
            raw=self.raw[chosen],
            soft=self.soft[chosen],
            guard=self.guard[chosen],
            kind=self.kind[chosen],
            held_out=self.held_out[chosen],
            uncertainty=None if self.uncertainty is None else self.uncertainty[chosen],
        )

    def save(self, folder: str | Path) -> None:
        """Write `rows.parquet`, `profile.parquet` and `provenance.json` into a folder, which is made."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        columns: dict[str, Any] = {f"x{j}": column for j, column in enumerate(self.x.T)}
        columns |= {"raw": self.raw, "soft": self.soft, "guard": self.guard, "held_out": self.held_out}
        if self.uncertainty is not None:
            columns["uncertainty"] = self.uncertainty
        table = pa.table(columns).append_column("kind", pa.array(self.kind.tolist()).dictionary_encode())
        pq.write_table(table, folder / _ROWS)
        (folder / _PROFILE).unlink(missing_ok=True)
        if self.profile is not None:
            rest = np.full(len(self.profile.raw), self.profile.rest)
            pq.write_table(pa.table(vars(self.profile) | {"rest": rest}), folder / _PROFILE)
        (folder / _PROVENANCE).write_bytes(msgspec.json.format(msgspec.json.encode(self.provenance)))

    @classmethod
    def load(cls, folder: str | Path) -> Knowledge:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            a file is absent or damaged.
        """
        folder = Path(folder)
        try:
            table = pq.read_table(folder / _ROWS)
            provenance = msgspec.json.decode((folder / _PROVENANCE).read_bytes(), type=dict[str, Any])
            asked = pq.read_table(folder / _PROFILE) if (folder / _PROFILE).exists() else None
        except (OSError, pa.ArrowException, msgspec.DecodeError) as exc:
            raise InputError(f"{folder}: this is not a folder of saved knowledge ({exc}).") from exc
        column = {name: table[name].to_numpy() for name in table.column_names if name != "kind"}
        features = sum(name.startswith("x") for name in column)
        return cls(
            x=np.column_stack([column[f"x{j}"] for j in range(features)]).astype(np.float32),
            raw=column["raw"],
            soft=column["soft"],
            guard=column["guard"],
            kind=np.array(table["kind"].to_pylist()),
            held_out=column["held_out"],
            uncertainty=column.get("uncertainty"),
            profile=None if asked is None else _profile(asked),
            provenance=provenance,
        )


def _profile(table: pa.Table) -> Profile:
    column, value, raw = (table[name].to_numpy() for name in ("column", "value", "raw"))
    return Profile(table["rest"][0].as_py(), column, value, raw)
