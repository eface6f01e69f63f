from __future__ import annotations

import json
import math

import numpy as np

from stillwatch.teachers.recipe import write_recipe


def test_parameters_of_any_kind_become_json() -> None:
    parameters = {
        "missing": math.nan,
        "limit": math.inf,
        "k": np.int64(5),
        "steps": [("scale", object())],
        "on": True,
        "none": None,
    }
    recipe = write_recipe("knn", parameters, seed=1, rows=10, packages=("numpy", "no-such-package"))
    assert json.loads(json.dumps(recipe, allow_nan=False)) == {
        "name": "knn",
        "parameters": {
            "missing": "nan",
            "limit": "inf",
            "k": 5,
            "steps": [["scale", "object"]],
            "on": True,
            "none": None,
        },
        "seed": 1,
        "training_rows": 10,
        "versions": {"numpy": np.__version__, "no-such-package": "unknown"},
    }
