"""From fit rows and a teacher to knowledge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillwatch.features.pipeline import Code, Features
from stillwatch.knowledge import transfer
from stillwatch.knowledge.extract import Asker
from stillwatch.knowledge.knowledge import TRAIN, Knowledge
from stillwatch.knowledge.soften import Softener, fit_softener
from stillwatch.teachers.out_of_fold import TrainingScores

MOST_TRAINING_ROWS = 20_000
LEAST_SYNTHETIC, MOST_SYNTHETIC = 10_000, 90_000
HELD_OUT = 0.1


def make_knowledge(
    asker: Asker,
    features: Features,
    code: Code,
    own: TrainingScores | None,
    *,
    seed: int,
    softener: Softener | None = None,
    asked: float = 1.0,
    mix: Callable[[transfer.Parents], dict[str, float]] = transfer.mix,
) -> Knowledge:
    """Draw the transfer set and ask the teacher.

    Parameters
    ----------
    asker
        the teacher, fitted on exactly these rows.
    code
        the fit rows.
    own
        the teacher's scores of the (n,) fit rows as if unseen; None: it is simply asked.
    seed
        decides which rows are drawn.
    softener
        of an earlier distillation, so that scores keep their scale; None: from these scores.
    asked
        share of the usual number of rows, training and synthetic alike: their proportion decides at which level a student scores
        rows that it cannot tell apart.
    mix
        share of each kind of synthetic row, from the rows that are asked about.
    """
    rng = np.random.default_rng(seed)
    most = max(1, round(asked * min(len(code), MOST_TRAINING_ROWS)))
    chosen = np.sort(rng.permutation(len(code))[:most])
    train = code.take(chosen)
    held = np.zeros(len(train), dtype=np.bool_)
    held[rng.permutation(len(train))[: max(1, round(HELD_OUT * len(train)))]] = True

    wanted = round(asked * synthetic_rows(min(len(code), MOST_TRAINING_ROWS), train.width))
    # By all rows: among the few that are held out every column may look discrete.
    shares = mix(transfer.parents_of(train, features))
    codes, kinds, held_out = [train], [np.full(len(train), TRAIN)], [held]
    for out, share in ((False, 1 - HELD_OUT), (True, HELD_OUT)):
        parents = transfer.parents_of(train.take(np.flatnonzero(held == out)), features)
        drawn, names = transfer.draw(parents, round(wanted * share), rng, shares)
        codes.append(drawn)
        kinds.append(names)
        held_out.append(np.full(len(drawn), out))
    everything = transfer.concatenate(codes)
    x = features.assemble(everything)

    raw, uncertainty = _answers(asker, x, own, chosen)
    softener = softener or fit_softener(raw[: len(train)], raw[len(train) :])
    kind = np.concatenate(kinds)
    return Knowledge(
        x=x,
        raw=raw,
        soft=softener.soften(raw),
        guard=features.guard(everything),
        kind=kind,
        held_out=np.concatenate(held_out),
        uncertainty=None if uncertainty is None else uncertainty.astype(np.float32),
        provenance=_provenance(asker, softener.center, softener.scale, kind, own, seed),
    )


def _answers(
    asker: Asker, x: NDArray[np.float32], own: TrainingScores | None, chosen: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """(m,) scores and disagreement of all rows, of which the first are the chosen fit rows; what is known is not asked."""
    raw, doubt = np.full((2, len(x)), np.nan)
    if own is not None:
        raw[: len(chosen)], known = own.of(chosen)
        doubt[: len(chosen)] = np.nan if known is None else known
    unknown = np.isnan(raw)
    raw[unknown], asked = asker.judge(x[unknown])
    doubt[unknown] = np.nan if asked is None else asked
    return raw, None if np.isnan(doubt).any() else doubt


def synthetic_rows(rows: int, columns: int) -> int:
    """How many synthetic rows a table of this size deserves.

    A small table needs as many as a large one, or its student falls short; only a tiny one, of few rows and few columns, is
    spared some of the time.
    """
    return int(np.clip(20 * (rows * columns - 900), LEAST_SYNTHETIC, MOST_SYNTHETIC))


def _provenance(
    asker: Asker, center: float, scale: float, kind: NDArray[np.str_], own: TrainingScores | None, seed: int
) -> dict[str, Any]:
    names, counts = np.unique(kind, return_counts=True)
    return {
        "teacher": asker.teacher.recipe(),
        "pointwise": asker.teacher.pointwise,
        "training_scores": "in-sample" if own is None else own.how,
        "softening": {"form": "asinh((raw - center) / scale)", "center": center, "scale": scale},
        "rows": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        "seed": seed,
    }
