"""A real model folder: one flipped bit anywhere, a file of another model, an extra file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import stillwatch as sw
from stillwatch.artifact.manifest import FILES


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    shutil.copytree(model, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_anywhere_is_refused_by_name(copy: Path, name: str, rng: np.random.Generator) -> None:
    whole = (copy / name).read_bytes()
    for place in {0, len(whole) - 1, *rng.integers(0, len(whole), 25).tolist()}:
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        (copy / name).write_bytes(data)
        with pytest.raises(sw.DigestError, match=name.replace(".", r"\.")):
            sw.load(copy)
        found = sw.verify(copy)
        assert not found.ok
        assert name in next(check.detail for check in found.checks if check.ok is False)
    (copy / name).write_bytes(whole)
    assert sw.verify(copy).ok


def test_a_loaded_model_goes_on_when_its_folder_is_damaged(copy: Path, rows: object) -> None:
    scorer = sw.load(copy)
    before = scorer.score(rows)
    for name in FILES:
        (copy / name).write_bytes(b"")
    with pytest.raises(sw.ArtifactError):
        sw.load(copy)
    np.testing.assert_array_equal(scorer.score(rows), before)


def test_an_extra_file_is_never_opened_and_verify_lists_it(copy: Path) -> None:
    os.mkfifo(copy / "weights.pkl")  # opening it would wait for ever
    assert sw.verify(copy).extra == ("weights.pkl",)
    sw.load(copy)
