# Every target makes what it needs. PYTHON chooses the interpreter the virtual environment is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
export PYTHONDONTWRITEBYTECODE :=
# idle OpenMP threads that spin take the processor from whoever else needs it
export OMP_WAIT_POLICY := PASSIVE
# the tests' folders, in memory where that has 8 GB free: a run of the line waits for a disk some thousand times
IN_MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 8 * 1024 * 1024 {print "TMPDIR=/dev/shm"}')
PYTEST = $(IN_MEMORY) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q

.PHONY: run up test quick lint format bench bench-peers lock install providers dask xgboost lime clean help

help:            ## show the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

run: $(VENV)/.pipeline  ## data to promoted model to paper account, on the simulated market
	$(BIN)/ljwx run

up: $(VENV)/.pipeline   ## Dagster, MLflow, runner and console on loopback; Ctrl-C stops all
	exec $(BIN)/ljwx up

test: $(VENV)/.dev      ## every test; coverage is that of the tests which take seconds
	$(PYTEST) -m slow
	$(PYTEST) -m "not slow" --cov --cov-report=term

quick: $(VENV)/.dev     ## the tests that take seconds
	$(PYTEST) -m "not slow"

lint: $(VENV)/.dev      ## style, types, arrows, Dagster definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/dg check defs

format: $(VENV)/.dev    ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev     ## benchmarks into benchmarks/results/latest.json; ONLY=W1 runs one
	$(BIN)/python -m benchmarks.run $(if $(ONLY),--only $(ONLY))

bench-peers: $(PEERS)/.installed  ## what the benchmarks compare with, in .venv-peers: qlib, vnpy.alpha, alphalens

install: $(VENV)/.pipeline  ## the virtual environment alone

providers: $(VENV)/.pipeline  ## what the akshare and baostock profiles need, added to the virtual environment
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/providers.txt

dask: $(VENV)/.pipeline  ## what `ljwx sweep --executor dask` needs, added to the virtual environment
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dask.txt

xgboost: $(VENV)/.pipeline  ## what model.kind = "xgboost" needs, added to the virtual environment
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/xgboost.txt

lime: $(VENV)/.pipeline  ## what `ljwx explain --lime` needs, added to the virtual environment
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lime.txt

lock:            ## compile requirements/*.txt with hashes; needs uv
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" pyproject.toml -o requirements/pipeline.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --extra dev pyproject.toml -o requirements/dev.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" requirements/runner.in -c requirements/pipeline.txt -o requirements/runner.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" requirements/providers.in -c requirements/pipeline.txt -o requirements/providers.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" requirements/dask.in -c requirements/pipeline.txt -o requirements/dask.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" requirements/xgboost.in -c requirements/pipeline.txt -o requirements/xgboost.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" requirements/lime.in -c requirements/pipeline.txt -o requirements/lime.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" requirements/bench-peers.in -c requirements/pipeline.txt \
	  --excludes requirements/bench-peers.excludes -o requirements/bench-peers.txt

clean:           ## remove the virtual environments (state in LJWX_HOME stays)
	rm -rf $(VENV) $(PEERS)

# the two stamps: the pipeline's lock, and the developer's that adds to it
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python {v[0]}.{v[1]} found: 3.11 to 3.13 is needed; choose one with make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.pipeline: requirements/pipeline.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing the locked packages (about 1.5 GB once, minutes on a slow line)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/pipeline.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.pipeline
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# --no-deps: the lock leaves out what requirements/bench-peers.excludes names, which pip would ask for
$(PEERS)/.installed: requirements/bench-peers.txt | $(VENV)/bin/python
	$(BIN)/python -m venv --clear $(PEERS)
	@echo "installing the peers (1.6 GB once, minutes on a slow line)"
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/bench-peers.txt
	@touch $@
