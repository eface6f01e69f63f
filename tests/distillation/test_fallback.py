from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw


def test_the_teacher_decides_near_the_threshold_and_the_student_elsewhere(
    distilled: sw.Distillation, table: pa.Table
) -> None:
    fallback = distilled.fallback(0.1)
    alert, asked = fallback.alert(table)
    score = distilled.scorer.score(table)
    theirs = distilled.fitted.soften(distilled.teacher_score(table)) >= fallback.teacher_threshold
    ours = distilled.scorer.alert(table)
    assert 0.05 < asked.mean() < 0.2
    assert np.abs(score[asked] - fallback.threshold).max() <= fallback.gain.margin
    assert np.abs(score[~asked] - fallback.threshold).min() > fallback.gain.margin
    np.testing.assert_array_equal(alert[asked], theirs[asked])
    np.testing.assert_array_equal(alert[~asked], ours[~asked])
    assert (alert != ours).any()


def test_what_is_promised_is_what_comes(distilled: sw.Distillation, table: pa.Table) -> None:
    fallback = distilled.fallback(0.1)
    held_out = table.take(distilled.evaluated.index)
    alert, asked = fallback.alert(held_out)
    theirs = distilled.evaluated.teacher >= fallback.teacher_threshold
    assert asked.mean() == pytest.approx(fallback.gain.asked, abs=0.005)
    assert (alert != theirs).mean() == pytest.approx(fallback.gain.differ_after, abs=0.005)
    assert fallback.gain.differ_after < fallback.gain.differ


def test_other_rates_and_no_rows(distilled: sw.Distillation, table: pa.Table) -> None:
    fallback = distilled.fallback(rate=0.05)
    assert fallback.threshold < distilled.fallback().threshold
    alert, asked = fallback.alert(table.slice(0, 0))
    assert alert.shape == asked.shape == (0,)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_a_share_that_is_none_is_refused(distilled: sw.Distillation, share: float) -> None:
    with pytest.raises(sw.InputError, match="between 0 and 1"):
        distilled.fallback(share)


def test_the_report_shows_the_gain(distilled: sw.Distillation) -> None:
    lines = distilled.report.fallback
    assert [line.share for line in lines] == [0.01, 0.02, 0.05]
    assert all(a.differ_after >= b.differ_after for a, b in pairwise(lines))
