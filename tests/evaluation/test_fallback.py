from __future__ import annotations

import numpy as np
import pytest

from stillwatch.evaluation.fallback import fallback_lines


def test_lines_are_counted_by_hand() -> None:
    student = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], dtype=np.float32)
    teacher = np.array([0, 1, 2, 3, 4, 8, 5, 6, 7, 9], dtype=np.float32)
    few, many = fallback_lines(
        student, teacher, threshold=6.5, teacher_threshold=6.5, calibrating=10, shares=(0.2, 0.4)
    )
    # Alarms of the student: 7, 8, 9; of the teacher: 5, 8, 9.
    assert few.differ == many.differ == pytest.approx(0.2)
    assert (few.asked, few.differ_after) == (
        pytest.approx(0.2),
        pytest.approx(0.1),
    )  # 6 and 7 go to the teacher
    assert (many.asked, many.differ_after) == (pytest.approx(0.4), 0.0)  # 5 to 8


def test_calibration_rows_alone_set_the_margin() -> None:
    student = np.concatenate([np.arange(100), np.full(50, 90)]).astype(np.float32)
    (line,) = fallback_lines(
        student, student, threshold=90, teacher_threshold=90, calibrating=100, shares=(0.02,)
    )
    assert line.margin == pytest.approx(1.0, abs=0.1)
    assert line.asked > 0.3
    assert line.differ == line.differ_after == 0
