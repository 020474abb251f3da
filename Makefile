# Needs make and Python 3.11 or later; everything else goes into .venv.
#   make test            lint, types, import directions, the wheel, the suite
#   make test TORCH=1    the same, with PyTorch installed for the parity tests
#   make test-isa        the suite as processors with fewer instructions run it
#   make docs            the documentation site, in build/docs
#   make notebooks       run the notebooks again, for what the site shows of them
#   make venv PYTHON=/path/to/python3.12

VENV := .venv
PY := $(VENV)/bin/python
TORCH ?= 0
WORKERS ?= 2

# The first interpreter of these that runs and is recent enough.
CANDIDATES := python3 python3.13 python3.12 python3.11 python
RECENT := import sys; raise SystemExit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c '$(RECENT)' >/dev/null 2>&1 && echo $(p))))

# constraints.txt was frozen on Python 3.11. Later versions of Python get later versions of jax,
# which the pins would rule out, so there pip resolves from setup.cfg alone. The shell of the recipe
# asks: make expands a whole recipe before .venv exists.
PINS := $$($(PY) -c 'import sys; print("-c constraints.txt" if sys.version_info[:2] == (3, 11) else "")')

# Folders whose files take longest come first, so that no worker is left with one of them at the end.
LONG := tests/experiments tests/training tests/benchmarks tests/test_extending.py tests/mapping

# Each xdist worker is one process: without this limit each also starts a BLAS thread per core.
THREADS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help venv torch demo docs notebooks test test-isa types wheel lint format clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

venv: $(VENV)/.installed  ## create .venv and install the package with its development tools

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later found; set PYTHON=/path/to/python"; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check $(PINS) -e '.[dev]'
	touch $@

torch: venv  ## install PyTorch, which only the parity tests use
	@$(PY) -c 'import torch' 2>/dev/null \
	  || $(PY) -m pip install --quiet --disable-pip-version-check $(PINS) 'torch==2.13.0' \
	  || { echo "torch 2.13.0 could not be installed; without it the parity tests skip: make test TORCH=0"; exit 1; }

# DEMO: the folder of everything that the demo makes.
DEMO ?= demo
demo: venv  ## watch the whole idea work on simulated worlds, in the folder demo
	$(PY) -m experiments.demo --out $(DEMO)

# Any warning ends it: a link that leads nowhere, a page in no list, a docstring that cannot be read.
docs: venv  ## build the documentation site, in build/docs
	$(PY) -m sphinx -W --keep-going -q -c docs -d build/doctrees . build/docs
	@echo "open build/docs/index.html"

notebooks: venv  ## run the notebooks and keep what they print and draw for the site
	$(PY) -W ignore docs/_ext/notebook_results.py

# All of the tests but those of imports and of the wheel, which come before.
SUITE = $(THREADS) $(PY) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(LONG) tests --ignore tests/test_imports.py --ignore tests/test_wheel.py

test: venv $(if $(filter 1,$(TORCH)),torch)  ## lint, types, import directions, the built wheel, the suite
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@$(MAKE) --no-print-directory -j2 types wheel  # each keeps one processor busy
	$(SUITE)

types: venv
	$(PY) -m mypy cropmap_jax

wheel: venv
	$(THREADS) $(PY) -m pytest -q tests/test_imports.py tests/test_wheel.py

# A bound that only holds on the processor that it was tried on shows here.
test-isa: venv  ## the suite as on a lesser processor, then what computes on one core and an older one
	XLA_FLAGS=--xla_cpu_max_isa=AVX2 $(SUITE)
	XLA_FLAGS="--xla_cpu_max_isa=SSE4_2 --xla_cpu_multi_thread_eigen=false" $(THREADS) taskset -c 0 \
	  $(PY) -m pytest -q tests/models tests/data tests/training tests/inference tests/evaluation tests/mapping

lint: venv  ## ruff (rules, formatting) and mypy (types), without changing anything
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@$(MAKE) --no-print-directory types

format: venv  ## ruff: fix what can be fixed
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:  ## remove .venv and everything that is built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
