from __future__ import annotations

import numpy as np

from stillwatch.table.pack import Layout, Rows


def rows(numbers: list[list[float]], texts: list[list[str]]) -> Rows:
    return Rows(np.array(numbers, dtype=np.float64), np.array(texts, dtype=np.object_))


def test_take_and_concat() -> None:
    both = rows([[1.0], [2.0]], [["a"], ["b"]])
    assert len(both) == 2
    again = Rows.concat([both.take(np.array([0])), both.take(np.array([False, True]))])
    np.testing.assert_array_equal(again.numbers, both.numbers)
    np.testing.assert_array_equal(again.texts, both.texts)


def test_feed_puts_columns_where_the_layout_says() -> None:
    packed = rows([[1.0, 2.0**24 + 1, 3.0]], [["a", "b"]])
    fed = Layout(num=("z", "x"), num64=("y",), txt=("q", "p")).feed(packed, ("x", "y", "z"), ("p", "q"))
    assert fed["num"].dtype == np.float32
    assert fed["num"].tolist() == [[3.0, 1.0]]
    assert fed["num64"].tolist() == [[2.0**24 + 1]]
    assert fed["txt"].tolist() == [["b", "a"]]
    assert all(values.flags["C_CONTIGUOUS"] for values in fed.values())


def test_feed_leaves_out_what_has_no_columns() -> None:
    packed = rows([[1.0]], [[]])
    assert list(Layout(num=("x",), num64=(), txt=()).feed(packed, ("x",), ())) == ["num"]


def test_feed_saturates_without_a_warning() -> None:
    packed = rows([[1e300, -1e39, np.inf, np.nan]], [[]])
    names = ("a", "b", "c", "d")
    fed = Layout(num=names, num64=(), txt=()).feed(packed, names, ())["num"]
    np.testing.assert_array_equal(fed, np.array([[np.inf, -np.inf, np.inf, np.nan]], dtype=np.float32))


def test_feed_does_not_touch_the_rows() -> None:
    packed = rows([[1.0, 2.0]], [[]])
    fed = Layout(num=("x", "y"), num64=(), txt=()).feed(packed, ("x", "y"), ())["num"]
    fed[0, 0] = 7
    assert packed.numbers.tolist() == [[1.0, 2.0]]
