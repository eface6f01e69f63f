"""What documentation shows, run with the defaults that it shows, in seconds instead of minutes."""

from __future__ import annotations

import sys
from pathlib import Path

# A student trains for a moment, and its teacher is asked less.
QUICK = """
import stillwatch.knowledge.make as make, stillwatch.students.lesson as lesson
make.MOST_SYNTHETIC, lesson.default_steps = 3_000, lambda rows: 60
"""


def quick_program(folder: Path) -> Path:
    """The program `stillwatch`, made in a folder that is made for it."""
    folder.mkdir()
    program = folder / "stillwatch"
    program.write_text(f"#!{sys.executable}\n{QUICK}\nfrom stillwatch.cli.main import run\nrun()\n")
    program.chmod(0o755)
    return program
