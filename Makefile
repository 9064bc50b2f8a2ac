# Two commands do all set-up, on a machine with Python 3.11 or later: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint fmt bench fuzz soak clean

demo: .venv/installed  ## simulator and exporter in one process
	@exec $(BIN)/studio-backup-exporter demo

test: .venv/installed-test .venv-contract/installed
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --cov --cov-report=term

lint: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fmt: .venv/installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/installed-test
	$(BIN)/python -m tests.bench.reading

fuzz: .venv/installed-test  ## 20,000 examples of each property: 10 to 25 minutes
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/fuzz --numprocesses=2

soak: .venv/installed-test  ## a compressed week: a quarter of an hour
	$(BIN)/python -m tests.bench.soak

clean:
	rm -rf .venv .venv-contract build dist *.egg-info

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

# AWS's last client of the service, in an environment of its own: what the contract tests compare with.
.venv-contract/installed: tests/contract/requirements.txt
	$(PYTHON) -m venv .venv-contract
	.venv-contract/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
