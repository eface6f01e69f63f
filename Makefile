# Two commands do everything on a machine with Python 3.11, pip, make and git: make demo, make test.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow docs release-check format clean

demo: .venv/.installed
	$(BIN)/stillwatch demo

test: .venv/.installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest -q

test-slow: .venv/.installed
	$(BIN)/pytest -q -m slow

docs: .venv/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

release-check: .venv/.installed
	.ci/release-check $(BIN)/python

format: .venv/.installed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv demo dist site

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
