"""What people write by hand: FastAPI around scikit-learn's IsolationForest. Started by `serving.py`."""

from __future__ import annotations

import os

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.ensemble import IsolationForest

COLUMNS = 30


class Rows(BaseModel):
    rows: list[list[float]]


def training_rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(5_000, COLUMNS)) @ rng.normal(size=(COLUMNS, COLUMNS))


app = FastAPI()
if os.environ.get("SERVING_PEER"):  # not where the benchmark imports it for its rows
    forest = IsolationForest(random_state=0).fit(training_rows())


@app.post("/score")
def score(body: Rows) -> dict[str, list[float]]:
    return {"score": (-forest.score_samples(np.array(body.rows))).tolist()}
