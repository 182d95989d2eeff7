# Everything a newcomer needs: `make demo`, `make test`, `make check`. Each sets itself up.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
KNOWN_GOOD := constraints.txt
OLDEST_VENV ?= .venv-torchtext
OLDEST_BIN := $(OLDEST_VENV)/bin
OLDEST_READY := $(OLDEST_VENV)/.ready
OLDEST := constraints-oldest.txt
ALL_OF_IT := --editable '.[dev,video]'
OLDEST_ONES := --editable '.[torchtext,video,tune]' pytest pytest-xdist hypothesis statsmodels

export NO_MKDOCS_2_WARNING := 1
# Processes that tests start import thousands of files: compiled once, not in each of them.
unexport PYTHONDONTWRITEBYTECODE

# A file's tests stay in one process: what they share is made once.
PARALLEL ?= --numprocesses=2 --dist=loadfile

# uv installs in a fraction of pip's time; it is told of pip's sources of wheels, and pip installs
# where uv cannot: $(call install,bin folder,constraints,requirements)
define install
	@echo "installing into $(1)"
	@$(1)/python -m pip install --quiet --disable-pip-version-check uv && \
	  UV_FIND_LINKS="$$($(1)/python -m pip config get global.find-links 2>/dev/null || echo "$$PIP_FIND_LINKS")" \
	  $(1)/uv pip install --quiet --python $(1)/python --constraint $(2) $(3) || \
	  $(1)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint $(2) $(3)
endef

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-torchtext test-oldest check check-collection docs format ui wheel wheel-demo results clean

help:  ## List what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(READY)  ## Make the virtual environment and install the known good versions

$(READY): pyproject.toml $(KNOWN_GOOD)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(call install,$(BIN),$(KNOWN_GOOD),$(ALL_OF_IT))
	@touch $@

demo: $(READY)  ## Generate data, compare LSTM with RNN, predict a folder (minutes, no network)
	$(BIN)/seqbelt demo

test: $(READY)  ## The fast tests
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-all: $(READY)  ## All tests
	$(BIN)/python -m pytest $(PARALLEL)

$(OLDEST_READY): pyproject.toml $(OLDEST)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' || \
	  { echo "torch 2.3 needs Python 3.11 or 3.12; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(OLDEST_VENV)
	$(call install,$(OLDEST_BIN),$(OLDEST),$(OLDEST_ONES))
	$(OLDEST_BIN)/python -W ignore -c 'import torchtext'
	@touch $@

TORCHTEXT_TESTS := tests/features/text/test_torchtext.py tests/inference/test_exchange.py

test-torchtext: $(READY) $(OLDEST_READY)  ## torchtext on its own versions; bundles between both
	SEQBELT_OTHER_PYTHON=$(abspath $(BIN)/python) $(OLDEST_BIN)/python -m pytest $(TORCHTEXT_TESTS)
	SEQBELT_OTHER_PYTHON=$(abspath $(OLDEST_BIN)/python) $(BIN)/python -m pytest $(TORCHTEXT_TESTS)

# What may differ between versions of torch; data, tables and messages do not.
OLDEST_TESTS ?= tests/models tests/training tests/inference tests/checks

test-oldest: $(OLDEST_READY)  ## The engine's fast tests on the oldest supported versions
	$(OLDEST_BIN)/python -m pytest $(PARALLEL) -m "not slow" $(OLDEST_TESTS)

docs: $(READY)  ## The documentation as a site in build/site, links checked
	$(BIN)/python docs/generate_reference.py
	$(BIN)/python docs/generate_cases.py
	$(BIN)/mkdocs build --strict --quiet

check: $(READY)  ## Format, lint, types, import layers, links of the documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pyright --pythonpath $(BIN)/python --project pyright-strict.json
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --strict --quiet

COLLECTED := build/collected

# Workers of one run must collect the same tests: no name may hold the clock or the order of a set.
check-collection: $(READY)  ## Collect the tests twice; their names and order must not differ
	@mkdir -p $(COLLECTED)
	@for seed in 1 2; do \
	  PYTHONHASHSEED=$$seed $(BIN)/python -m pytest --collect-only -p no:cacheprovider \
	    > $(COLLECTED)/$$seed.log 2>&1 || { cat $(COLLECTED)/$$seed.log; exit 1; }; \
	  grep '::' $(COLLECTED)/$$seed.log > $(COLLECTED)/$$seed.txt; \
	  sleep 1; \
	done
	@diff -u $(COLLECTED)/1.txt $(COLLECTED)/2.txt || \
	  { echo "The names of the tests above depend on the clock or on PYTHONHASHSEED."; exit 1; }

format: $(READY)  ## Rewrite the code in the one format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

ui: $(READY)  ## MLflow's page on this project's runs
	$(BIN)/seqbelt ui

wheel: $(READY)  ## A wheel in build/wheel, with the recurrent kernel for every x86-64 processor
	SEQBELT_BUILD_AHEAD=1 $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .

WHEEL_DEMO := build/wheel-demo

wheel-demo:  ## Build a wheel, install it in an environment of its own outside the repository, run the demo
	rm -rf $(WHEEL_DEMO) && mkdir -p $(WHEEL_DEMO)
	$(PYTHON) -m venv $(WHEEL_DEMO)/venv
	SEQBELT_BUILD_AHEAD=1 $(WHEEL_DEMO)/venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(WHEEL_DEMO) .
	$(WHEEL_DEMO)/venv/bin/python -m pip install --quiet --constraint $(KNOWN_GOOD) \
	  "$$(echo $(WHEEL_DEMO)/*.whl)[video]"
	cd "$$(mktemp -d)" && $(abspath $(WHEEL_DEMO))/venv/bin/seqbelt demo

results: $(READY)  ## Every figure of docs/results.md again, into build/results (a night; see the script)
	$(BIN)/python benchmarks/everything.py $(VALUES)

clean:  ## Remove the virtual environment and caches; data and runs stay
	rm -rf $(VENV) $(OLDEST_VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache
