# `make book` and `make test` on a fresh machine: GNU make and Python 3.11 or newer are all that is needed.

PYTHON ?= python3
QUICK ?=
DATA ?=
OFFICIAL ?=
WORKERS ?= auto
ARGS ?=
TORCH ?=

BIN := .venv/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off
# The locks name all there is, so that nothing is installed whose hash is not known.
LOCKED = $(PIP) --no-deps --require-hashes
BOOK_OPTIONS = $(if $(filter-out 0,$(QUICK)),--quick) $(if $(DATA),--data "$(DATA)")

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test lab env lint format clean

help:
	@echo "make book     run every notebook and build the book: _build/html/index.html"
	@echo "                QUICK=1      fewer seeds and repeats; every page says so"
	@echo "                DATA=sample  20,001 real results; or full, surrogate, or a file. By default full if it is in"
	@echo "                             data/, else one-run (3.4 MB), else, without a network, surrogate (data/README.md)"
	@echo "                OFFICIAL=1   with TensorFlow and the official library, which notebook 01 then holds ours against"
	@echo "make test     run the tests, as many side by side as there are cores (WORKERS=0: one after the other);"
	@echo "                ARGS=\"-k sources -x\" is handed to pytest"
	@echo "make lab      open JupyterLab on the notebooks"
	@echo "make env      make the environment in .venv (the others do it by themselves)"
	@echo "make lint     look for faults of style in code and notebooks"
	@echo "make format   mend those that can be mended, and strip the notebooks"
	@echo "make clean    remove what was built; neither .venv nor data"
	@echo "PYTHON=python3.12 chooses the Python that .venv is made with; TORCH=... another build of torch (CONTRIBUTING.md)."

book: env $(if $(filter-out 0,$(OFFICIAL)),.venv/official)
	@$(BIN)/nplib book $(BOOK_OPTIONS)

test: env
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The notebooks run in their own folder; the data lie in this one.
lab: env
	@NPLIB_DATA="$${NPLIB_DATA:-$(CURDIR)/data}" $(BIN)/jupyter lab --notebook-dir=notebooks

lint: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: env
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/pre-commit run --all-files nbstripout || $(BIN)/pre-commit run --all-files nbstripout

clean:
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
	find nplib tests benchmarks -name __pycache__ -type d -exec rm -rf {} +

env: .venv/package

# Made anew, not mended, when the lock changes: what it no longer names would stay.
.venv/packages: requirements.lock requirements-cuda.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "nplib needs Python 3.11 or newer; $(PYTHON) is $$(command -v $(PYTHON) >/dev/null && $(PYTHON) --version 2>&1 || echo not there)." >&2; \
	    echo "Name a newer one: make PYTHON=/path/to/python3" >&2; \
	    exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@echo "Installing $$(grep -c == requirements.lock) packages; the first time they are downloaded"
	@# Of several builds pip takes the one from an index, whose hash it knows beforehand: one on this disk goes first.
	@$(if $(TORCH),$(call show_progress,$(PIP) $(TORCH)),sed -n '/^torch==/,/[^\]$$/p' requirements.lock \
	    | $(LOCKED) --quiet --no-index -r /dev/stdin >/dev/null 2>&1 || true)
	@$(call show_progress,$(LOCKED) -r requirements.lock)
	@if $(BIN)/python -m pip show torch | grep -q '^Requires: .*nvidia'; then \
	    $(call show_progress,$(LOCKED) -r requirements-cuda.lock); fi
	@lacking=$$($(BIN)/python -m pip check) || { echo "$$lacking" >&2; exit 1; }
	@touch $@

.venv/package: .venv/packages pyproject.toml
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "The environment is ready: .venv"

# The official library is in no package index; git gets it from its repository. Both locks, so that the first stays.
.venv/official: .venv/package requirements-tensorflow.lock
	@$(call show_progress,$(LOCKED) -r requirements.lock -r requirements-tensorflow.lock)
	@$(call show_progress,$(PIP) --no-deps \
	    "nasbench @ git+https://github.com/google-research/nasbench")
	@touch $@

# Run pip with its many lines kept in .venv/install.log, and show a line now and then, and its errors. The status of a
# pipe is that of its last command, so pip's goes through it as a line.
define show_progress
{ $(1) 2>&1; echo "pip ended with $$?"; } | tee .venv/install.log | awk ' \
    /^Collecting / && ++found % 40 == 0 { print "  " found " packages found"; fflush() } \
    /^ *Downloading .*\(([0-9][0-9]+(\.[0-9]+)? MB|.* GB)\)$$/ { print "  " $$1, $$2, $$3, $$4; fflush() } \
    /^Installing collected/ { print "  Putting them in place"; fflush() } \
    /^ *(ERROR|error)/ { print; fflush() } \
    /^pip ended with / { status = $$4 } \
    END { exit status }'
endef
