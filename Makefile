# Two targets are all the set-up there is: `make serve` and `make test`.

# `python3`, else the first of the supported ones: scripts/bootstrap.py starts with any and finds the right one.
SUPPORTED = $(shell sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)
PYTHON ?= $(shell for each in python3 $(SUPPORTED:%=python%); do command -v $$each && break; done || echo python3)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
FANOUT ?=
SECONDS ?= 300
ROUNDS ?= 5
BUSY ?= 4
SEED ?=
COUNT ?= 60
FILES ?= tests
VERSIONS ?= all
TESTS ?=
# What shows the incident of 2024-03-20 through the real command line, and the same leak in other programs.
INCIDENT := tests/drills/test_zombie_feeds.py tests/e2e/test_top_of_the_incident.py \
  tests/e2e/test_cli_service.py tests/e2e/test_cli_tasks_flow.py tests/e2e/test_diagnose.py tests/e2e/test_any_program.py
# Files side by side, in their order: those that wait come first. By hand: `.venv/bin/python -m pytest PATH`.
BESIDE := -n auto --dist loadfile --no-loadscope-reorder

.DELETE_ON_ERROR:
.PHONY: help serve test test-busy test-debug test-all test-versions check coverage format generate mutants bench bench-reap bench-startup bench-top soak clean

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A stamp a set of packages: nothing is installed again until pyproject.toml changes.
$(VENV)/.service: pyproject.toml
	$(PYTHON) scripts/bootstrap.py $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@$(BIN)/python -m compileall -q qcfeed  # as pip does what it copies: a TAB takes a third longer without
	@touch $@

$(VENV)/.suite: pyproject.toml $(VENV)/.service
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@

# What PyPI does not have (Prometheus, shells): installed where that is allowed, else named.
$(VENV)/.parts: scripts/system_parts.sh $(VENV)/.service
	@bash scripts/system_parts.sh
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.suite
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

serve: $(VENV)/.service  ## install what is needed and run the service (ARGS='--port 0')
	@exec $(BIN)/qcfeed serve $(ARGS)

test: $(VENV)/.suite $(VENV)/.parts  ## install what is needed and run the whole suite (ARGS='-k name')
	$(BIN)/python -m pytest $(BESIDE) $(ARGS)

test-busy: $(VENV)/.suite $(VENV)/.parts  ## the suite in random order beside busy processes (ROUNDS=5 BUSY=4 SEED=)
	$(BIN)/python scripts/test_busy.py --rounds $(ROUNDS) --busy $(BUSY) $(if $(SEED),--seed $(SEED)) \
	  --pytest='$(BESIDE) $(ARGS)' $(FILES)

test-debug: $(VENV)/.suite  ## what runs in one process, under asyncio's debug mode
	PYTHONASYNCIODEBUG=1 $(BIN)/python -m pytest $(BESIDE) tests/integration tests/property tests/unit $(ARGS)

coverage: $(VENV)/.suite  ## branches that the tests take, and the floor below which they may not fall
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -q $(BESIDE) tests/integration tests/property tests/unit $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

check: $(VENV)/.suite  ## format, lint, types, import contracts, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate.py --check

format: $(VENV)/.suite  ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(VENV)/.suite  ## write completions, manual, docs, rules and dashboard anew
	$(BIN)/python scripts/generate.py

test-all:  ## the suite on every supported Python (VERSIONS=3.14,3.15 TESTS=tests/unit)
	$(PYTHON) scripts/test_all.py --versions $(VERSIONS) --tests $(TESTS) -- $(BESIDE) $(ARGS)

test-versions: $(VENV)/.suite  ## on the oldest and the two newest, what is not end to end, and the incident
	$(BIN)/python scripts/test_all.py --versions ends --ran $(VENV) \
	  --tests tests/integration tests/property tests/unit $(INCIDENT) -- $(BESIDE) $(ARGS)

mutants: $(VENV)/.suite  ## plant COUNT small faults and see which of them the tests notice (COUNT=60 SEED=1)
	$(BIN)/python -m scripts.mutants --seed $(or $(SEED),1) --count $(COUNT) $(ARGS)

bench: $(VENV)/.bench  ## the ledger, then fan-out, beside their peers (ARGS=--full FANOUT=--quick)
	$(BIN)/python -m benchmarks.diagnostics $(ARGS)
	$(BIN)/python -m benchmarks.fanout $(FANOUT)

bench-reap: $(VENV)/.suite  ## how long the loop stalls while 47,829 to 1,000,000 orphans are reaped
	$(BIN)/python -m benchmarks.diagnostics --only reaping --full $(ARGS)

bench-startup: $(VENV)/.suite  ## what a command and a TAB take from a cold start
	$(BIN)/python -m benchmarks.startup $(ARGS)

bench-top: $(VENV)/.suite  ## what the full screen costs beside 47,829 tasks
	$(BIN)/python -m benchmarks.top $(ARGS)

soak: $(VENV)/.suite  ## tasks at full speed under twenty readers (SECONDS=300)
	$(BIN)/python -m benchmarks.soak --seconds $(SECONDS)

clean:  ## remove what the other targets made
	rm -rf $(VENV) .venv-3.* .mutants .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
