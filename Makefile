# `make demo` and `make test` do all set-up by themselves, on a fresh machine too.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test lint types unit docs examples studies bench system clean
.DELETE_ON_ERROR:

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "invdyn needs Python >= 3.11; set PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[worlds]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

system:
	@sh scripts/system-packages.sh

demo: $(VENV)/.demo
	$(BIN)/invdyn demo

test: system lint types unit docs

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow and not gpu'  # two workers on two cores

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

studies: $(VENV)/.dev
	$(BIN)/invdyn study all --scale laptop --seeds 3 --out results

bench: $(VENV)/.dev
	$(BIN)/invdyn bench all --out results/benchmarks

clean:
	rm -rf docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
