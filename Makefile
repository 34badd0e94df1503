# `make serve` and `make test` install what they need; no other set-up is necessary.

# `python3`, or else the first supported version that is installed. scripts/bootstrap.py runs on any Python and finds a supported one.
SUPPORTED = $(shell sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)
PYTHON ?= $(shell for each in python3 $(SUPPORTED:%=python%); do command -v $$each && break; done || echo python3)
VENV := .venv
BIN := $(VENV)/bin
# Where Python may not write bytecode, as in many images, each worker and each process that a test starts compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE
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
TARGETS ?=
# Tests of the incident of 2024-03-20 with the real command line, and of the same leak in other programs.
INCIDENT := tests/drills/test_zombie_feeds.py tests/e2e/test_top_of_the_incident.py \
  tests/e2e/test_cli_service.py tests/e2e/test_cli_tasks_flow.py tests/e2e/test_diagnose.py tests/e2e/test_any_program.py
# Code that runs only as whole processes (workers, the cluster's commands, an agent's tools), for `make check`.
WHOLE := $(addprefix tests/e2e/,test_cluster_operations.py test_mcp.py test_report.py test_runbook_run.py test_workers.py)
# Test files run in parallel, in this order: files that mostly wait come first. By hand: `.venv/bin/python -m pytest PATH`.
BESIDE := -n auto --dist loadfile --no-loadscope-reorder

.DELETE_ON_ERROR:
.PHONY: help serve test dist sbom release-check released conformance fuzz chaos test-busy test-all test-versions check docs picture lint format generate mutants bench bench-reap bench-startup bench-idle bench-top bench-leaks soak bench-scaleout clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One stamp file per set of packages: nothing is installed again until pyproject.toml changes.
$(VENV)/.service: pyproject.toml
	$(PYTHON) scripts/bootstrap.py $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@$(BIN)/python -m compileall -q qcfeed  # pip compiles what it copies, but not a checkout; without it, TAB takes a third longer
	@touch $@

$(VENV)/.suite: pyproject.toml $(VENV)/.service
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@

# pytest compiles the tests when it collects them: once here, or else in every worker of the first run.
$(VENV)/.compiled: $(VENV)/.suite
	-@$(BIN)/python -m pytest --collect-only -qq > /dev/null
	@touch $@

# Programs that are not on PyPI (Prometheus, shells): installed if permitted, otherwise listed.
$(VENV)/.parts: scripts/system_parts.sh $(VENV)/.service
	@bash scripts/system_parts.sh
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.suite
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

serve: $(VENV)/.service  ## install what is needed and run the service (ARGS='--port 0')
	@exec $(BIN)/qcfeed serve $(ARGS)

test: $(VENV)/.compiled $(VENV)/.parts  ## install what is needed and run all tests (ARGS='-k name')
	$(BIN)/python -m pytest $(BESIDE) $(ARGS)

conformance: $(VENV)/.suite  ## run all of Autobahn's TestSuite and rewrite the tables of docs/reference/conformance.md
	$(BIN)/python scripts/autobahn.py .tools/autobahn
	$(BIN)/python -m tests.conformance

fuzz: $(VENV)/.suite  ## fuzz every reader of foreign bytes with Atheris (SECONDS=60 over all; TARGETS='frames symbol')
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(if $(filter command,$(origin SECONDS)),$(SECONDS),60) $(TARGETS)

chaos: $(VENV)/.suite  ## clients, operators, drills and stale upstreams at random against the real service (SECONDS=600 SEED=)
	$(BIN)/python -m tests.chaos --seconds $(if $(filter command,$(origin SECONDS)),$(SECONDS),600) $(if $(SEED),--seed $(SEED))

test-busy: $(VENV)/.suite $(VENV)/.parts  ## run all tests repeatedly, in random order, beside busy processes (ROUNDS=5 BUSY=4 SEED=)
	$(BIN)/python scripts/test_busy.py --rounds $(ROUNDS) --busy $(BUSY) $(if $(SEED),--seed $(SEED)) \
	  --pytest='$(BESIDE) $(ARGS)' $(FILES)

check: lint docs  ## lint and docs, then unit, property and integration tests in asyncio's debug mode, with a floor of branch coverage
	$(BIN)/python -m coverage erase
	PYTHONASYNCIODEBUG=1 $(BIN)/python -m coverage run -m pytest -q $(BESIDE) $(WHOLE) tests/integration tests/property tests/unit $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

docs: $(VENV)/.suite  ## build the documentation site into build/site; every warning is an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html -c docs . build/site

picture: $(VENV)/.suite  ## record docs/diagnose.svg, the terminal in the README
	$(BIN)/python scripts/picture.py

lint: $(VENV)/.suite  ## check format, lint, types, import contracts, generated files, spelling and workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate.py --check
	$(BIN)/codespell
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet --no-progress .github/workflows

format: $(VENV)/.suite  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(VENV)/.suite  ## rewrite completions, manual, docs, rules and dashboard
	$(BIN)/python scripts/generate.py

dist: $(VENV)/.suite  ## build the sdist and the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --outdir dist

sbom: dist  ## dist/, with a CycloneDX bill of materials of what the wheel installs
	rm -rf build/released
	$(PYTHON) scripts/bootstrap.py build/released
	build/released/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	build/released/bin/python -m pip uninstall --quiet --yes setuptools pip  # what installs is no part of it
	sed 's/^dynamic = .*/version = "$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' qcfeed/__init__.py)"/' pyproject.toml > build/pyproject.toml
	$(BIN)/cyclonedx-py environment --pyproject build/pyproject.toml --output-reproducible --validate \
	  --output-file dist/qcfeed.cdx.json build/released/bin/python

release-check: $(VENV)/.suite  ## whether everything says that this is the release TAG=v0.2.0
	$(BIN)/python scripts/release_check.py $(TAG)

released: $(VENV)/.suite  ## at a release: record its public surface, which later versions keep (docs/reference/compatibility.md)
	$(BIN)/python -m tests.compatibility

test-all:  ## run all tests on every supported Python (VERSIONS=3.14,3.15 TESTS=tests/unit)
	$(PYTHON) scripts/test_all.py --versions $(VERSIONS) --tests $(TESTS) -- $(BESIDE) $(ARGS)

test-versions: $(VENV)/.suite  ## on the oldest and the two newest Pythons: all but end-to-end tests, and the incident
	$(BIN)/python scripts/test_all.py --versions ends --ran $(VENV) \
	  --tests tests/integration tests/property tests/unit $(INCIDENT) -- $(BESIDE) $(ARGS)

mutants: $(VENV)/.suite  ## inject COUNT small faults and list those that no test notices (COUNT=60 SEED=1)
	$(BIN)/python -m scripts.mutants --seed $(or $(SEED),1) --count $(COUNT) $(ARGS)

bench: $(VENV)/.bench  ## benchmark the ledger and fan-out beside their peers (ARGS=--full FANOUT=--quick)
	$(BIN)/python -m benchmarks.diagnostics $(ARGS)
	$(BIN)/python -m benchmarks.fanout $(FANOUT)

bench-reap: $(VENV)/.suite  ## measure how long the loop stalls while 47,829 to 1,000,000 orphans are reaped
	$(BIN)/python -m benchmarks.diagnostics --only reaping --full $(ARGS)

bench-startup: $(VENV)/.suite  ## measure the start-up time of commands and of TAB completion
	$(BIN)/python -m benchmarks.startup $(ARGS)

bench-idle: $(VENV)/.bench  ## hold 100,000 idle subscribers behind one port (ARGS='--subscribers 19500 --processes 1')
	$(BIN)/python -m benchmarks.idle $(ARGS)

bench-top: $(VENV)/.suite  ## measure the cost of `qcfeed top` beside 47,829 tasks
	$(BIN)/python -m benchmarks.top $(ARGS)

bench-scaleout: $(VENV)/.bench  ## measure what NATS adds, with 1, 2 and 4 gateways (ARGS='--rounds 5 --seconds 5')
	$(BIN)/python -m benchmarks.scaleout $(ARGS)

bench-leaks: $(VENV)/.bench  ## ask qcfeed and its peers which programs leak (ARGS='--only lock_pile_up --tools qcfeed')
	$(BIN)/python -m benchmarks.leaks $(ARGS)

soak: $(VENV)/.suite  ## create and end tasks at full speed under twenty readers (SECONDS=300)
	$(BIN)/python -m benchmarks.soak --seconds $(SECONDS)

clean:  ## remove everything that the other targets created
	rm -rf $(VENV) .venv-3.* .venv-leaks .mutants .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
