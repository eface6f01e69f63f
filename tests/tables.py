"""Tables that tests make up."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def mixed_table(rows: int, seed: int = 0) -> pa.Table:
    """Numbers, a heavy tail, gaps, a boolean, two categories, a constant, large whole numbers and a label."""
    rng = np.random.default_rng(seed)
    anomaly = rng.random(rows) < 0.03
    amount = np.exp(rng.normal(3, 1, rows)) * np.where(anomaly, 30, 1)
    age = rng.normal(40, 12, rows).round()
    return pa.table(
        {
            "amount": amount,
            "age": pa.array(age, mask=rng.random(rows) < 0.1),
            "stamp": pa.array(1_700_000_000 + rng.integers(0, 50_000, rows) + 10**6 * anomaly),
            "member": pa.array(rng.random(rows) < 0.7),
            "city": pa.array(
                rng.choice(["Bern", "Basel", "Genf", "Chur"], rows, p=[0.5, 0.3, 0.15, 0.05]).tolist()
            ),
            "shop": pa.array([f"shop {i}" for i in rng.zipf(1.6, rows) % 90]),
            "country": pa.array(["CH"] * rows),
            "version": pa.array(np.ones(rows)),
            "fraud": pa.array(anomaly.astype(np.int64)),
        }
    )
