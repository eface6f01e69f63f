from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import stillwatch as sw
from stillwatch.features.pipeline import fit_features
from stillwatch.knowledge.transfer import KINDS, Parents, draw, mix, parents_of
from stillwatch.table.pack import Packer
from tests.tables import mixed_table


@pytest.fixture(scope="module")
def parents():  # type: ignore[no-untyped-def]
    return described(mixed_table(600), label="fraud")


def described(table: pa.Table | NDArray[np.float64], label: str | None = None) -> Parents:
    """A table as the generators know it; columns of an array get names."""
    if isinstance(table, np.ndarray):
        table = pa.table({f"c{j}": column for j, column in enumerate(table.T)})
    schema = sw.inspect(table, label=label)
    rows = Packer(schema).table(table)
    features = fit_features(rows, schema)
    return parents_of(features.encode(rows), features)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_makes_valid_rows(kind: str, parents, rng: np.random.Generator) -> None:  # type: ignore[no-untyped-def]
    code = KINDS[kind](parents, 500, rng)
    x = parents.features.assemble(code)
    assert len(code) == 500
    assert np.isfinite(x).all()
    assert (code.category >= 0).all()
    assert (code.category < np.array(parents.widths)).all()
    assert set(np.unique(code.differs)) <= {0.0, np.float32(3.0)}


@pytest.mark.parametrize("kind", ["jitter", "swap", "between", "local", "stretch", "box"])
def test_discrete_columns_keep_to_values_that_exist(kind: str, parents, rng: np.random.Generator) -> None:  # type: ignore[no-untyped-def]
    assert parents.discrete.any()
    code = KINDS[kind](parents, 500, rng)
    for j in np.flatnonzero(parents.discrete):
        made = np.unique(code.u[:, j].round(5))
        assert np.isin(made, np.unique(parents.code.u[:, j].round(5))).all()


@pytest.mark.parametrize("kind", ["jitter", "between", "local"])
def test_what_does_not_change_is_the_same_to_the_last_digit(kind: str, rng: np.random.Generator) -> None:
    columns = rng.normal(size=(600, 12))
    columns[:240, :10] = -5 - rng.random(10)  # ten values that 240 rows share
    parents = described(columns)
    shared = parents.code.u[0, :10]
    made = KINDS[kind](parents, 500, rng).u[:, :10]
    close = np.isclose(made, shared, rtol=1e-5, atol=0)
    assert close.mean() > 0.05
    assert (made == shared)[close].all()


def test_shares_are_kept_and_a_seed_repeats(parents) -> None:  # type: ignore[no-untyped-def]
    shares = {"jitter": 3.0, "box": 1.0}
    first, kinds = draw(parents, 400, np.random.default_rng(5), shares)
    again, _ = draw(parents, 400, np.random.default_rng(5), shares)
    assert (kinds == "jitter").sum() == 300
    assert [len(draw(parents, n, np.random.default_rng(5), mix(parents))[0]) for n in (99, 100, 101)] == [
        99,
        100,
        101,
    ]
    np.testing.assert_array_equal(first.u, again.u)


@pytest.mark.parametrize(("continuous", "near", "box"), [(4, 0.6, 0.05), (2, 0.15, 0.125), (0, 0.05, 0.15)])
def test_the_mix_follows_the_columns(
    continuous: int, near: float, box: float, rng: np.random.Generator
) -> None:
    columns = rng.normal(size=(600, 4))
    columns[:, continuous:] = columns[:, continuous:].round()
    shares = mix(described(columns))
    assert shares["local"] == pytest.approx(near)
    assert set(shares) == set(KINDS)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["box"] / shares["swap"] == pytest.approx(box / 0.2)


def test_extremes_reach_the_edge_of_the_box(parents, rng: np.random.Generator) -> None:  # type: ignore[no-untyped-def]
    code = KINDS["extreme"](parents, 5_000, rng)
    assert (np.abs(code.u).max(axis=0) > 0.9).all()


def test_local_rows_keep_to_the_shape_of_their_surroundings(rng: np.random.Generator) -> None:
    along = rng.normal(size=(600, 1)) @ [[1.0, 1.0]] + 0.02 * rng.normal(size=(600, 2))
    there = np.concatenate([along - 5, along * [1, -1] + 5])  # two far groups, each a thin line of its own
    found = described(there)
    made = found.features.squash(KINDS["local"](found, 2_000, rng).u)
    nearest = np.linalg.norm(made[:, None] - found.f[None], axis=2).min(axis=1)
    spread = np.linalg.norm(found.spread)
    assert np.quantile(nearest, 0.9) < 0.05 * spread
    assert (nearest > 0).all()


def test_stretched_rows_are_near_rows_further_from_the_middle(rng: np.random.Generator) -> None:
    found = described(rng.normal(size=(600, 3)))
    near, far = (
        found.features.squash(KINDS[kind](found, 2_000, np.random.default_rng(3)).u)
        - np.median(found.f, axis=0)
        for kind in ("local", "stretch")
    )
    clear = np.abs(near) > 0.01
    times = np.divide(far, near, out=np.full_like(near, np.nan), where=clear)
    np.testing.assert_allclose(np.nanmin(times, axis=1), np.nanmax(times, axis=1), rtol=0.01)
    assert 0.99 < np.nanmin(times) < 1.1
    assert 2.4 < np.nanmax(times) < 2.525


def test_knowledge_survives_a_round_trip(distilled: sw.Distillation, tmp_path) -> None:  # type: ignore[no-untyped-def]
    distilled.knowledge.save(tmp_path / "knowledge")
    back = sw.Knowledge.load(tmp_path / "knowledge")
    for name in ("x", "raw", "soft", "guard", "kind", "held_out"):
        np.testing.assert_array_equal(getattr(back, name), getattr(distilled.knowledge, name))
    assert back.provenance == distilled.knowledge.provenance
    with pytest.raises(sw.InputError, match="not a folder of saved knowledge"):
        sw.Knowledge.load(tmp_path / "nothing")


def test_soft_scores_keep_the_order_of_raw_ones(distilled: sw.Distillation) -> None:
    order = np.argsort(distilled.knowledge.raw)
    assert (np.diff(distilled.knowledge.soft[order]) >= 0).all()
