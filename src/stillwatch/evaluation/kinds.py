"""The kinds of rows that a teacher is asked about, in words."""

from __future__ import annotations

WORDS = {
    "train": ("Rows of the table", "as they are"),
    "jitter": ("Shifted rows", "real rows, some or all of their numbers moved a little or a lot"),
    "swap": ("Mixed rows", "a real row with some of its columns taken from another one"),
    "between": ("Blended rows", "on the line through two real rows, between and beyond them"),
    "local": ("Near rows", "around a real row, spread as the rows nearest to it are"),
    "stretch": ("Stretched rows", "near rows moved straight away from the middle of the table"),
    "extreme": ("Pushed-out rows", "a real row with a few numbers far outside what was seen"),
    "box": ("Free rows", "some or all columns drawn at random over their range"),
    "flip": ("Flipped rows", "a real row with a category or a missing value changed to anything it can be"),
    "hard": ("Hard rows", "around rows that a first small student got wrong"),
}


def in_words(kind: str) -> tuple[str, str]:
    """(name, how such rows are made); a kind from elsewhere keeps its name.

    Examples
    --------
    >>> in_words("train")
    ('Rows of the table', 'as they are')
    >>> in_words("uniform box")
    ('uniform box', '')
    """
    return WORDS.get(kind, (kind, ""))
