"""From fit rows and a teacher to knowledge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillwatch.features.pipeline import Code, Features
from stillwatch.knowledge import transfer
from stillwatch.knowledge.extract import Asker
from stillwatch.knowledge.knowledge import HARD, TRAIN, Knowledge
from stillwatch.knowledge.profile import profile
from stillwatch.knowledge.soften import Softener, fit_softener
from stillwatch.teachers.out_of_fold import TrainingScores

MOST_TRAINING_ROWS = 20_000
LEAST_SYNTHETIC, MOST_SYNTHETIC = 30_000, 90_000
HELD_OUT = 0.1
# Share of the synthetic rows to learn from that the second round has where all columns are continuous (decision 14).
AGAIN = 1 / 3

Scout = Callable[[Knowledge], NDArray[np.float32]]
"""(n,) scores of the knowledge's rows, by a student that is quick to learn from them or that was trained before."""


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
    scout: Scout | None = None,
) -> Knowledge:
    """Draw rows and ask the teacher, about one column at a time, too; then draw more around those that a scout gets wrong.

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
        share of the usual number of synthetic rows; training rows are all there.
    mix
        share of each kind of synthetic row in the first round, from the rows that are there.
    scout
        what the second round goes by; None: there is one round, of as many rows.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(code))[:MOST_TRAINING_ROWS])
    train = code.take(chosen)
    held = np.zeros(len(train), dtype=np.bool_)
    held[rng.permutation(len(train))[: max(1, round(HELD_OUT * len(train)))]] = True

    wanted = round(asked * synthetic_rows(len(train), train.width))
    # By all rows: among the few that are held out every column may look discrete.
    all_rows = transfer.parents_of(train, features)
    shares, pairs = mix(all_rows), transfer.continuous_pairs(all_rows)
    to_check = round(HELD_OUT * wanted)
    again = 0 if scout is None else round(AGAIN * pairs * (wanted - to_check))
    parents, unseen = (
        transfer.parents_of(train.take(np.flatnonzero(part)), features) for part in (~held, held)
    )
    drawn, kinds = transfer.draw(parents, wanted - to_check - again, rng, shares)
    checked, their_kinds = transfer.draw(unseen, to_check, rng, shares)
    everything = transfer.concatenate([train, drawn, checked])
    x = features.assemble(everything)
    held_out = np.concatenate([held, np.zeros(len(drawn), np.bool_), np.ones(len(checked), np.bool_)])

    raw, uncertainty = _answers(asker, x, own, chosen)
    softener = softener or fit_softener(raw[: len(train)], raw[len(train) :])
    kind = np.concatenate([np.full(len(train), TRAIN), kinds, their_kinds])
    first = Knowledge(
        x=x,
        raw=raw,
        soft=softener.soften(raw),
        guard=features.guard(everything),
        kind=kind,
        held_out=held_out,
        uncertainty=None if uncertainty is None else uncertainty.astype(np.float32),
        profile=profile(asker.ask, x[~held_out], x[: len(train)][~held]),
        provenance=_provenance(asker, softener.center, softener.scale, kind, own, seed),
    )
    if scout is None or not again:
        return first
    # A trace where it is right to the last digit, so that there is always a row to go by.
    wrong = np.where(first.held_out, 0, np.abs(scout(first) - first.target) + 1e-9)
    return _and_again(asker, features, first, transfer.around(parents, everything, wrong, again, rng, shares))


def _and_again(asker: Asker, features: Features, first: Knowledge, hard: Code) -> Knowledge:
    """The knowledge, and what the teacher says about more rows to learn from."""
    x = features.assemble(hard)
    raw, doubt = asker.judge(x)
    kind = np.concatenate([first.kind, np.full(len(x), HARD)])
    uncertainty = None
    if first.uncertainty is not None and doubt is not None:
        uncertainty = np.concatenate([first.uncertainty, doubt.astype(np.float32)])
    return replace(
        first,
        x=np.concatenate([first.x, x]),
        raw=np.concatenate([first.raw, raw]),
        soft=np.concatenate([first.soft, first.softener.soften(raw)]),
        guard=np.concatenate([first.guard, features.guard(hard)]),
        kind=kind,
        held_out=np.concatenate([first.held_out, np.zeros(len(x), np.bool_)]),
        uncertainty=uncertainty,
        provenance=first.provenance | {"rows": _counted(kind)},
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
    return min(MOST_SYNTHETIC, max(LEAST_SYNTHETIC, 20 * (rows * columns - 900)))


def _provenance(
    asker: Asker, center: float, scale: float, kind: NDArray[np.str_], own: TrainingScores | None, seed: int
) -> dict[str, Any]:
    return {
        "teacher": asker.teacher.recipe(),
        "pointwise": asker.teacher.pointwise,
        "training_scores": "in-sample" if own is None else own.how,
        "softening": {"form": "asinh((raw - center) / scale)", "center": center, "scale": scale},
        "rows": _counted(kind),
        "seed": seed,
    }


def _counted(kind: NDArray[np.str_]) -> dict[str, int]:
    names, counts = np.unique(kind, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}
