"""Score the golden artifacts with the Stillwatch that is installed, and nothing of the repository but them.

    python installed.py tests/golden

needs the core dependencies only: no pytest, no torch, no scikit-learn. `make release-check` runs it in an environment of its own.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path


def main(folder: Path) -> None:
    """Score every artifact's rows as on the day it was made, or end with a message."""
    import numpy as np

    import stillwatch as sw
    from stillwatch.artifact.parity import TOLERANCE

    assert "site-packages" in sw.__file__, f"this is not an installed one: {sw.__file__}"
    extras = [
        name
        for name in ("torch", "sklearn", "scipy", "pandas", "pyod", "ray", "starlette")
        if find_spec(name)
    ]
    assert not extras, f"more than the core is installed: {extras}"
    places = sorted(folder.glob("protocol_*"))
    assert places, f"no artifact in {folder}"
    for place in places:
        scorer, lines = sw.load(place / "model"), json.loads((place / "rows.json").read_text())
        expected = np.array([line["score"] for line in lines])
        verdict = scorer.judge([line["row"] for line in lines], rate=0.05)
        assert (np.abs(verdict.score - expected) <= TOLERANCE * np.maximum(1, np.abs(expected))).all()
        assert verdict.alert.tolist() == [line["alert"] for line in lines]
        sys.stdout.write(f"{place.name}: {len(lines)} rows score as they did, stillwatch {sw.__version__}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
