"""What is chosen per table against fixed recipes: the kinds of rows to ask about, how many, the rounds, and the student's family.

Protocol: clean ADBench sets, features and split of the default call. `default` is what `sw.distill` does: the mix and the
rounds by the columns, the family by agreement on rows held out. A fixed recipe is one mix, one round and one family for all
tables; of all fixed recipes the best on the other sixteen sets is taken for each four. `without KIND` is the default less one
kind of row, `one round` asks about as many rows all at once. Agreement is the Spearman correlation of student and teacher over
the test rows above the teacher's median training score, the figure that a choice is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from protocol import (
    Log,
    arguments,
    data_folder,
    metrics,
    of_student,
    packed,
    sets,
    split,
    table,
)

from stillwatch.distillation.fit import Prepared, prepare
from stillwatch.distillation.scout import scout
from stillwatch.distillation.split import make_split
from stillwatch.evaluation.fidelity import spearman
from stillwatch.knowledge import transfer
from stillwatch.knowledge.knowledge import NEAR, TRAIN, Knowledge
from stillwatch.knowledge.make import Scout, make_knowledge
from stillwatch.students import auto
from stillwatch.table.pack import Packer
from stillwatch.teachers import resolve_teacher
from stillwatch.teachers.out_of_fold import training_scores

TEACHERS = ("auto", "knn")
NEAR_SHARES = (0.1, 0.35, 0.6)
FAMILIES = ("points", "few points", "layers", "half each", "chosen")
LEFT_OUT = 4
SEED = 0

Mix = Callable[[transfer.Parents], dict[str, float]]


def fixed(near: float) -> Mix:
    """The same share of near rows whatever the columns; the other kinds share the rest as ever."""

    def mix(parents: transfer.Parents) -> dict[str, float]:
        others = {kind: share for kind, share in transfer.mix(parents).items() if kind != NEAR}
        return {NEAR: near, **{kind: (1 - near) * s / sum(others.values()) for kind, s in others.items()}}

    return mix


def without(kind: str) -> Mix:
    """The mix by the columns, less one kind."""
    return lambda parents: {k: share for k, share in transfer.mix(parents).items() if k != kind}


SCOUT = partial(scout, seed=SEED)
MIXES: dict[str, tuple[Mix, Scout | None]] = {
    "default": (transfer.mix, SCOUT),
    **{f"near {share}": (fixed(share), None) for share in NEAR_SHARES},
    **{f"without {kind}": (without(kind), SCOUT) for kind in transfer.KINDS},
    "one round": (transfer.mix, None),
}


def prepared(train: NDArray[np.float64], teacher: str) -> tuple[Prepared, Packer]:
    """What the default call has before it trains a student."""
    packer, rows = packed(train)
    fit = rows.take(make_split(len(rows), None, "all", rng=np.random.default_rng(SEED)).fit)
    return prepare(fit, packer.schema, resolve_teacher(teacher, regime="normal"), seed=SEED), packer


def families(knowledge: Knowledge) -> dict[str, Callable[[NDArray[np.float32]], NDArray[Any]]]:
    """One lesson, and what each family would answer; the chosen one is the default student."""
    trained = auto.train(knowledge, seed=SEED)
    points, layers = trained.points[0].score, trained.layers.score
    return {
        "points": points,
        "few points": trained.points[-1].score,
        "layers": layers,
        "half each": lambda x: (points(x) + layers(x)) / 2,
        "chosen": auto.choose(trained, auto.read(knowledge), knowledge).score,
    }


def measure(path: Path, teacher: str, mixes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(mix, figures of each family) for one table and teacher; mixes of the same shares are measured once."""
    rows = split(path, regime="clean", seed=SEED)
    before, packer = prepared(rows.train, teacher)
    features, asker = before.features, before.asker
    code = features.encode(packed(rows.test, packer)[1])
    x, guard = features.assemble(code), features.guard(code)
    theirs = asker.ask(x)
    own = training_scores(asker.teacher, features.assemble(before.code), seed=SEED)
    upper = theirs > np.median(before.knowledge.raw[before.knowledge.kind == TRAIN])
    known: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name in mixes:
        mix, second = MIXES[name]
        asked = mix(transfer.parents_of(before.code, features))
        recipe = second is None, *((kind, round(share, 9)) for kind, share in asked.items())
        if recipe not in known:
            began = perf_counter()
            knowledge = before.knowledge
            if name != "default":
                knowledge = make_knowledge(
                    asker, features, before.code, own, seed=SEED, mix=mix, scout=second
                )
            found: dict[str, Any] = {"teacher": metrics(rows.labels, theirs)}
            for family, score in families(knowledge).items():
                ours = score(x) + guard
                agreement = spearman(ours[upper], theirs[upper]) if upper.sum() > 2 else None
                found[family] = {"agreement": agreement, **metrics(rows.labels, ours)}
            known[recipe] = found | {"seconds": perf_counter() - began}
        yield name, known[recipe]


def figures(lines: list[dict[str, Any]], mix: str, family: str) -> dict[str, NDArray[np.float64]]:
    """(tables,) of each figure, in the order of the lines; without rows above the median, agreement is 1 for every recipe."""
    found = [line for line in lines if line["mix"] == mix]
    loss = {
        metric: np.array([max(0.0, line["teacher"][metric] - line[family][metric]) for line in found])
        for metric in ("auroc", "average_precision")
    }
    agreement = [1.0 if line[family]["agreement"] is None else line[family]["agreement"] for line in found]
    return {"agreement": np.array(agreement), **loss}


def nested(lines: list[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """Each four tables by the fixed recipe that agrees best on the others."""
    recipes = [
        (f"near {share}", family) for share in NEAR_SHARES for family in FAMILIES if family != "chosen"
    ]
    by_recipe = [figures(lines, *recipe) for recipe in recipes]
    tables = len(by_recipe[0]["agreement"])
    place = np.arange(tables) // LEFT_OUT
    taken = {name: np.empty(tables) for name in by_recipe[0]}
    for block in np.unique(place):
        best = max(by_recipe, key=lambda found: float(found["agreement"][place != block].mean()))
        for name, values in best.items():
            taken[name][place == block] = values[place == block]
    return taken


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Of every recipe: figures, and agreement more than the default call has on the same tables."""

    def row(found: dict[str, NDArray[np.float64]], names: list[str]) -> dict[str, float]:
        same = [line for line in lines if line["set"] in names]
        more = found["agreement"] - figures(same, "default", "chosen")["agreement"]
        return {
            "tables": len(names),
            "lowest agreement": float(found["agreement"].min()),
            **{name: float(values.mean()) for name, values in found.items()},
            "more than default": float(more.mean()),
            "tables better than default": int((more > 0).sum()),
        }

    summary: dict[str, Any] = {}
    for mix in MIXES:
        names = [line["set"] for line in lines if line["mix"] == mix]
        for family in FAMILIES if names else ():
            summary[f"{mix}, {family}"] = row(figures(lines, mix, family), names)
    measured = [[line["set"] for line in lines if line["mix"] == f"near {share}"] for share in NEAR_SHARES]
    if measured[0] and all(names == measured[0] for names in measured):
        summary["best fixed recipe, nested"] = row(nested(lines), measured[0])
    return summary


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--teacher", action="append", choices=TEACHERS, default=[])
    parser.add_argument("--eight", action="store_true", help="eight of the sets, by their place")
    parser.add_argument("--mix", action="append", choices=list(MIXES), default=[], help="repeatable (all)")
    options = parser.parse_args()
    paths, mixes = sets(data_folder(options.data), eight=options.eight), options.mix or list(MIXES)
    if options.quick:
        paths = [path for path in paths if path.stat().st_size < 20_000]
    log = Log("ablation", ("set", "asked", "mix"), quick=options.quick, made_by=of_student)
    for teacher in options.teacher or TEACHERS:
        for path in paths:
            key = {"set": path.stem, "asked": teacher}
            left = [mix for mix in mixes if not log.done(**key, mix=mix)]
            for mix, found in measure(path, teacher, left) if left else ():
                log.add(**key, mix=mix, **found)
    summary = {}
    for teacher in TEACHERS:
        lines = sorted((line for line in log.lines if line["asked"] == teacher), key=lambda line: line["set"])
        summary[teacher] = summarise(lines)
        print(f"\n{teacher}")
        headings = ("recipe", "tables", "lowest", "agreement", "AUROC loss", "AP loss", "more", "better")
        table(headings, [(name, *found.values()) for name, found in summary[teacher].items()])
    log.finish(summary)


if __name__ == "__main__":
    main()
