# Two commands do everything: `make demo` and `make test`. Both set up what they need, and are quick the second time.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: help demo test check lint format install install-dev gpu clean

help:
	@echo "make demo    count a drawn crowd, box drawn shapes: train, print tables, write pictures (under 4 minutes)"
	@echo "make test    run the tests"
	@echo "make lint    ruff and mypy"
	@echo "make check   lint, all tests, the long ones too, and the published tables"
	@echo "make gpu     with a CUDA GPU: its tests, all benchmarks, the ShanghaiTech table, in MINUTES=25 (DRY=1: any machine)"

# the stamp remembers which requirements were installed; a changed file installs again
$(VENV)/.user: requirements.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dotally needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.txt lists into $(VENV) (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.user
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@# for the schema in it, which is read as a file; what it needs to run would take numpy back below 2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'sweeps>=0.3,<0.4'
	@touch $@

install: $(VENV)/.user
install-dev: $(VENV)/.dev

demo: install
	@$(BIN)/python experiments/synthetic_crowd.py
	@$(BIN)/python experiments/shapes_demo.py

# one process a core, one thread each; a file's tests stay together because they share what they prepare
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

test: install-dev
	@$(PYTEST) -m "not slow"

check: lint
	@$(PYTEST)

lint: install-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: install-dev
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

# no installation: it runs with the Python that is named, or that of $(VENV), or python3
MINUTES ?= 25
OUT ?= runs/gpu
WORKERS ?= 0
GPU_PYTHON := $(if $(filter command%,$(origin PYTHON)),$(PYTHON),$(firstword $(wildcard $(BIN)/python) $(PYTHON)))

gpu:
	@$(GPU_PYTHON) -m benchmarks.gpu --minutes $(MINUTES) --out "$(OUT)" --workers $(WORKERS) $(if $(DRY),--dry)

clean:
	rm -rf $(VENV) runs
