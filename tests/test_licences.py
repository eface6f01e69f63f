"""What is installed along is listed, and binds nobody to more than naming it."""

from __future__ import annotations

from tests.licences import FILE_BY_FILE, PAGE, PERMISSIVE, installed, licence, page, parts


def test_every_dependency_is_under_a_licence_that_we_can_ship() -> None:
    found = {name: licence(package) for name, (package, _) in installed().items()}
    assert len(found) > 30
    for name, expression in found.items():
        choices = [parts(choice) for choice in expression.split(" OR ")]
        assert any(choice <= PERMISSIVE | FILE_BY_FILE for choice in choices), f"{name} is under {expression}"


def test_the_list_in_the_docs_is_what_is_installed() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.licences"
