"""Write the golden artifact of the current protocol: a folder that every later version must load and score alike.

    .venv/bin/python -m tests.golden.make

writes `tests/golden/protocol_N/`, N being the current protocol, from made-up rows only: numbers with a heavy tail and with
gaps, large whole numbers, a boolean, categories with gaps, times, a column that is constant. Beside the model it writes
`rows.json`: rows and the scores that the model gave them on the day it was made. They are the model's own golden rows, and rows
at the edges of the rules.

An existing folder is never replaced: once a version that writes a protocol has been released, its folder is history. Before that,
remove the folder and make it anew. `artifact/manifest.py` says when the protocol number changes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import stillwatch as sw
from stillwatch.artifact.manifest import PROTOCOL

HERE = Path(__file__).parent
ROWS = "rows.json"


def folder(protocol: int) -> Path:
    """Where the artifact of a protocol stands: `model` and `rows.json` are in it."""
    return HERE / f"protocol_{protocol}"


def made_up(rows: int = 300, seed: int = 20_261_123) -> pa.Table:
    """Rows that nobody has ever sent."""
    rng = np.random.default_rng(seed)
    gap = rng.random((rows, 2)) < 0.1
    city = rng.choice(["Aa", "Bb", "Cc"], rows, p=[0.6, 0.3, 0.1])
    return pa.table(
        {
            "amount": np.exp(rng.normal(3, 1, rows)),
            "age": pa.array(rng.normal(40, 12, rows).round(), mask=gap[:, 0]),
            "serial": pa.array(1_700_000_000 + 500 * rng.integers(0, 100, rows)),
            "member": pa.array(rng.random(rows) < 0.7),
            "city": pa.array(city.tolist(), mask=gap[:, 1]),
            "seen": pa.array(
                np.datetime64("2025-03-01", "us") + 37 * 60 * 10**6 * rng.integers(0, 20_000, rows)
            ),
            "same": pa.array(np.ones(rows)),
        }
    )


def at_the_edges() -> list[dict[str, Any]]:
    """Rows on which the rules for values decide: text for a number, gaps, unseen, far out, tiny."""
    usual = {"amount": 20.0, "age": 40.0, "serial": 1_700_020_000, "member": True, "city": "Aa", "same": 1.0}
    usual |= {"seen": "2025-09-01T12:00:00"}
    return [
        usual,
        usual | {"amount": " 2e1 ", "age": "40", "member": "yes", "serial": "1700020000"},
        usual | {"age": None, "city": ""},
        usual | {"age": "NA", "city": "NULL"},
        dict.fromkeys(usual),
        usual | {"city": "never seen"},
        usual | {"amount": 1e38},
        usual | {"amount": -1e300},
        usual | {"amount": 5e-324},
        usual | {"serial": 1_700_020_001},
        usual | {"serial": 2**63},
        usual | {"same": 2.0},
        usual | {"member": False},
        usual | {"seen": "2025-09-01 12:00:00"},
        usual | {"seen": "2025-09-01T14:00:00.000001+02:00"},
        usual | {"seen": "1970-01-01"},
    ]


def make(target: Path) -> None:
    """Distill, save, and note down the scores."""
    d = sw.distill(
        made_up(), teacher="knn", student=sw.MLP(hidden=(8,), steps=200), assume_normal=True, seed=0
    )
    d.save(target / "model")
    scorer = sw.load(target / "model")
    rows = [*scorer.manifest.golden.rows, *at_the_edges()]
    verdict = scorer.judge(rows, rate=0.05)
    written = [
        {"row": row, "score": score, "p_value": p_value, "alert": alert}
        for row, score, p_value, alert in zip(
            rows, verdict.score.tolist(), verdict.p_value.tolist(), verdict.alert.tolist(), strict=True
        )
    ]
    text = ",\n".join(json.dumps(line) for line in written)
    (target / ROWS).write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    place = folder(PROTOCOL)
    if place.exists():
        sys.exit(f"{place.name} exists. Remove it only if no released version has written this protocol.")
    make(place)
