from __future__ import annotations

import inspect

import stillwatch as sw


def test_all_names_are_there_and_nothing_else_is_public() -> None:
    for name in sw.__all__:
        assert getattr(sw, name) is not None, name
    assert sorted(sw.__all__) == dir(sw)


def test_distill_takes_what_its_users_rely_on() -> None:
    options = inspect.signature(sw.distill).parameters
    expected = {
        "data": inspect.Parameter.empty,
        "schema": None,
        "label": None,
        "known": None,
        "ignore": (),
        "key": (),
        "time": None,
        "train_on": "all",
        "assume_normal": False,
        "teacher": "auto",
        "purify": False,
        "student": "auto",
        "budget": None,
        "start": None,
        "alert_rate": 0.01,
        "calibrate_by": None,
        "seed": 0,
        "cache": None,
        "map": None,
        "progress": None,
    }
    assert {name: option.default for name, option in options.items()} == expected


def test_every_error_is_one_of_ours_and_reads_as_a_builtin_where_it_should() -> None:
    errors = [
        value
        for name in sw.__all__
        if isinstance(value := getattr(sw, name), type) and name.endswith("Error")
    ]
    assert all(issubclass(error, sw.StillwatchError) for error in errors)
    assert issubclass(sw.InputError, ValueError)
    assert issubclass(sw.TableError, sw.InputError)
    assert issubclass(sw.MissingExtraError, ImportError)
    assert str(sw.MissingExtraError("torch", "train")).endswith("pip install 'stillwatch[train]'")


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(sw, "distil")
