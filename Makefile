# Every verb prepares the environment that it needs, and keeps one that is current.
#
#   make test PYTHON=python3.12      the interpreter to build the environment with
#   make test ARGS="-m slow -x"      more arguments for pytest

VENV ?= .venv
BENCH_VENV ?= .venv-bench
PYTHON ?=
ARGS ?=
# Files of tests are shared out among processes, one more than there are cores, each of up to 4 GiB;
# `make test TEST_PROCESSES=` runs them in one.
TEST_PROCESSES ?= -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

SUPPORTED := 3.11 3.12 3.13
VERSION_OF = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-input
DEFINITION := setup.cfg pyproject.toml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two verbs at a time would change one environment under each other; -j is harmless so.
.NOTPARALLEL:
.PHONY: help install demo test lint bench docs images models clean rebuild

help:
	@echo "make install   the environment $(VENV) with cnnkit in it, ready to edit"
	@echo "make demo      classify the images of examples/images"
	@echo "make test      run the tests; ARGS=\"-m slow\" for the slow ones"
	@echo "make lint      check the code's style and types"
	@echo "make bench     measure against other tools, in an environment of its own"
	@echo "make docs      build the documentation's site into build/site"
	@echo "make images    make the images of README.md and docs/ again, into docs/images"
	@echo "make models    build the embedded weights again from their sources"
	@echo "make clean     remove the environments and everything that was built"

install: $(VENV)/installed

demo: $(VENV)/installed
	$(BIN)/cnnkit classify examples/images --format table

# What is compiled is kept, whatever the caller's environment says: tests start many processes.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(TEST_PROCESSES) $(ARGS)

lint: $(VENV)/installed-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

bench: $(BENCH_VENV)/installed-bench
	$(BENCH_VENV)/bin/python benchmarks/classify.py $(ARGS)

# A name that is missing, or a link that leads nowhere, is an error.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "Open build/site/index.html."

images: $(VENV)/installed
	$(BIN)/python docs/make_images.py

models: $(VENV)/installed-convert
	$(BIN)/python -m models.convert all
	$(BIN)/python -m models.convert graphs

clean:
	rm -rf $(VENV) $(BENCH_VENV) build dist cnnkit.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find benchmarks cnnkit examples models tests -type d -name __pycache__ -exec rm -rf {} +

# An environment is built anew when its interpreter is gone or is not the one asked for, and when
# the checkout was moved: the programs in it begin with their own old path.
WANTED := $(if $(PYTHON),$(or $(call VERSION_OF,$(PYTHON)),none),$(SUPPORTED))
stale = $(shell test ! -e $(1) || { test "$$(cat $(1)/created)" = '$(CURDIR)' && \
  $(1)/bin/python -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv)' \
  $(WANTED); } 2>/dev/null || echo rebuild)

$(VENV)/created: $(call stale,$(VENV))
$(BENCH_VENV)/created: $(call stale,$(BENCH_VENV))

$(VENV)/created $(BENCH_VENV)/created:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); \
	  case " $(SUPPORTED) " in *" $${version:-none} "*) \
	    echo "$$python -m venv $(@D)"; \
	    $$python -m venv --clear $(@D) && printf %s '$(CURDIR)' >$@; exit;; \
	  esac; \
	done; \
	echo "PYTHON must be one of $(SUPPORTED). Received: $(or $(PYTHON),none of them here)." \
	  "Install one, or name it: make PYTHON=python3.12." >&2; exit 2

$(VENV)/installed: $(VENV)/created $(DEFINITION)
	@echo "Installing cnnkit into $(VENV): about 3 GB, a few minutes the first time."
	@$(BIN)/python $(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/created $(DEFINITION)
	@echo "Installing cnnkit and its tests' tools into $(VENV): about 3.7 GB, a few minutes the first time."
	@$(BIN)/python $(PIP_INSTALL) --editable '.[test,parquet,export,docs]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-docs: $(VENV)/installed
	@$(BIN)/python $(PIP_INSTALL) --editable '.[docs]'
	@touch $@

$(VENV)/installed-convert: $(VENV)/installed
	@$(BIN)/python $(PIP_INSTALL) --editable '.[convert]'
	@touch $@

$(BENCH_VENV)/installed-bench: $(BENCH_VENV)/created $(DEFINITION) benchmarks/requirements.txt
	@echo "Installing cnnkit and the tools it is compared with into $(BENCH_VENV)."
	@$(BENCH_VENV)/bin/python $(PIP_INSTALL) --editable . -r benchmarks/requirements.txt
	@touch $@
