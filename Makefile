# `make` prints the targets. Every target sets up what it needs.
PYTHON ?= python3
ENVIRONMENT := .venv
BIN := $(ENVIRONMENT)/bin
READY := $(ENVIRONMENT)/.ready

export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true

# uv is several times as fast where it is there; it reads none of pip's settings, so it is told where wheels lie
INSTALL := $(if $(shell command -v uv),UV_FIND_LINKS="$${UV_FIND_LINKS-$$PIP_FIND_LINKS}" uv pip install --compile-bytecode --python $(BIN)/python,\
	$(BIN)/python -m pip install --progress-bar off)

.DEFAULT_GOAL := help
N ?= 5
.PHONY: help setup repro photographs seeds restore test test-all fuzz lint bench ui report verify portable clean

help: ## print the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-12s %s\n' "$$target" "$$text"; done

setup: $(READY) ## make the environment in .venv from requirements.lock

$(READY): requirements.lock pyproject.toml
	@command -v git >/dev/null || { echo "make setup: expected git on PATH, found none"; exit 2; }
	@command -v $(PYTHON) >/dev/null || { echo "make setup: expected Python 3.11 or newer, found no $(PYTHON); set PYTHON=..."; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make setup: expected Python 3.11 or newer, received $$($(PYTHON) --version); set PYTHON=..."; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make setup: expected Python's venv module, found none; on Debian: apt install python3-venv"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(ENVIRONMENT)
	@echo "make setup: $$(grep -c == requirements.lock) packages into $(ENVIRONMENT), about 2 GB; some minutes with pip, fewer with uv"
	$(INSTALL) --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/recap plots-page
	@touch $@

repro: $(READY) ## run the pipeline: data, features, decoders, captions, report
	@$(BIN)/recap config --check
	RECAP_MAKE=$$PPID $(BIN)/recap repro
	@echo "report: reports/index.html   runs: make ui"

seeds: $(READY) ## every decoder under N seeds (make seeds N=5): mean, spread, paired tests in docs/seeds
	@$(BIN)/recap config --check
	@$(BIN)/recap heal
	$(BIN)/recap seeds $(N)

# in a clone, so that this checkout keeps its settings and outputs
PHOTOGRAPHS := .recap/photographs
photographs: $(READY) ## the pipeline on fifteen real photographs, in a folder of its own
	@rm -rf $(PHOTOGRAPHS)
	git clone --quiet . $(PHOTOGRAPHS)
	$(BIN)/python $(PHOTOGRAPHS)/photographs/collect.py $(PHOTOGRAPHS)/photographs/images
	cd $(PHOTOGRAPHS) && sh photographs/run.sh
	@echo "report: $(PHOTOGRAPHS)/reports/index.html"

restore: $(READY) ## go back to the committed settings and their outputs
	@$(BIN)/recap restore

# two workers must not spin on each other's cores
test: $(READY) ## run the tests that take seconds each
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(READY) ## run all tests: browsers, pipelines, kills, emulated processors; ARGUMENTS='-m "slow and not long"'
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 $(ARGUMENTS)

fuzz: $(READY) ## hostile input on every surface; ARGUMENTS="--seed 5 archives", or CASE=FILE to run one again
	OMP_WAIT_POLICY=passive $(BIN)/python -m tests.fuzz $(ARGUMENTS) $(CASE)

lint: $(READY) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## measure speed and memory against named baselines
	@for benchmark in benchmarks/[a-z]*.py; do echo "== $$benchmark"; $(BIN)/python $$benchmark || exit 1; done

ui: $(READY) ## open MLflow's pages on http://127.0.0.1:5000
	$(BIN)/recap ui

report: $(READY) ## make the report page again
	$(BIN)/dvc repro report

verify: $(READY) ## hash every output again and compare with dvc.lock
	$(BIN)/recap verify

portable: $(READY) ## show that every operation gives the same bytes on emulated processors; needs qemu-user
	OMP_WAIT_POLICY=passive $(BIN)/python tests/portability/show.py

clean: ## remove outputs, caches and the environment; keeps mlflow.db
	rm -rf $(ENVIRONMENT) data models reports/index.html reports/vision .dvc/cache .dvc/tmp .recap \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis dvc_plots
