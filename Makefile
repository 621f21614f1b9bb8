# tickbus: one word per task. `make` alone prints the map.

VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
PAGE    := services/api/src/tickbus_api/dashboard/index.html
MEMBERS := $(sort $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml apps/*/pyproject.toml)))
PINS    := requirements/bootstrap.txt requirements/dev.txt
SETS    := $(basename $(sort $(wildcard requirements/images/*.in)))
# What is not needed for a working copy, in an environment of its own: pip-audit and the schema of lists of parts.
RELEASE := $(VENV)/release/.ready
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --custom-compile-command "make pins" $(ARGS)

# Else every service that a test starts compiles all that it imports again: half of its start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup dashboard run test integration contract alerts chaos bench check audit format pins release clean

help: ## print this map
	@echo "tickbus: make <verb> [ARGS=...]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) $(PAGE) ## create .venv with the pinned packages (the other verbs do it when needed)

# Done again only when a pin, a member's pyproject.toml or the C source changes.
$(READY): $(PINS) $(MEMBERS:%=%/pyproject.toml) $(wildcard libs/orderbook/src/*/*.c) tools/setup.sh
	@tools/setup.sh $(VENV) $(MEMBERS)
	@touch $@

# Not every desk can install npm packages; what trades must not wait for what shows it.
$(PAGE): $(shell find services/api/dashboard -name node_modules -prune -o -type f -print) tools/dashboard.sh | $(READY)
	@tools/dashboard.sh $(VENV) build || echo "make: the platform runs without its dashboard; make dashboard tries again" >&2

dashboard: $(READY) ## build the dashboard with npm and vite into the gateway's package
	@tools/dashboard.sh $(VENV) build

# `exec`: signals sent to make reach the platform itself, which then stops in order.
run: $(READY) $(PAGE) ## start the whole platform on this machine; Ctrl-C stops it (ARGS=--fresh starts over)
	@exec $(BIN)/tickbus up $(ARGS)

# Tests wait more than they compute: four at a time, also on two cores (docs/decisions/0024).
test: $(READY) $(PAGE) ## run the tests that need no container engine (ARGS="-n0 PATH" for some, one by one)
	@$(BIN)/pytest -n 4 --dist loadgroup $(ARGS)

integration: $(READY) ## run the tests against real NATS and Postgres in containers
	@$(BIN)/pytest tests/integration $(ARGS)

contract: $(READY) ## check what takes the place of one service alone (SERVICE=book COMMAND="./my-book"; ours without)
	@$(BIN)/python tools/contract.py "$(SERVICE)" "$(COMMAND)" $(ARGS)

MINUTES ?= 5
SEED    ?= 1
MODE    ?= spot
chaos: $(READY) ## kill and break the platform under load, compare its books (MINUTES=5 SEED=1 MODE=spot)
	@$(BIN)/python -m tickbus_testkit.chaos --minutes $(MINUTES) --seed $(SEED) --mode $(MODE) $(ARGS)

alerts: $(READY) ## cause the condition of every alert that can be caused on running services
	@TICKBUS_ALL_ALERTS=1 $(BIN)/pytest -n 2 --dist loadgroup tests/alerts $(ARGS)

bench: $(READY) ## measure: ARGS=tick-to-order, feed, pipeline ...
	@exec $(BIN)/tickbus bench $(ARGS)

check: $(READY) ## formatting, lint, types, import contracts, house rules, the dashboard
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/tidy.py
	$(BIN)/python tools/licenses.py
	tools/dashboard.sh $(VENV) check
	@$(MAKE) --no-print-directory audit

# Where its data cannot be reached, it says so and goes on.
audit: $(READY) ## ask which of the pinned packages have known holes
	@$(MAKE) --no-print-directory $(RELEASE) || echo "audit: pip-audit could not be installed" >&2
	@$(BIN)/python tools/audit.py $(VENV)/release/bin/pip-audit requirements/dev.txt requirements/release.txt

format: $(READY) ## format the code and sort its imports
	$(BIN)/ruff check --select I --fix --quiet .
	$(BIN)/ruff format .

# The shipped sets are cut out of the development set, so every image runs the versions that were tested.
pins: $(READY) ## compile requirements/*.in into hashed pins (ARGS=--upgrade for newer versions)
	$(COMPILE) requirements/bootstrap.in --output-file requirements/bootstrap.txt
	$(COMPILE) requirements/dev.in --output-file requirements/dev.txt
	$(COMPILE) requirements/node.in --output-file requirements/node.txt
	$(COMPILE) requirements/build.in --constraints requirements/dev.txt --output-file requirements/build.txt
	$(COMPILE) requirements/runtime.in --constraints requirements/dev.txt --output-file requirements/runtime.txt
	@for set in $(SETS); do $(COMPILE) $$set.in --constraints requirements/runtime.txt --output-file $$set.txt || exit 1; done
	$(COMPILE) requirements/release.in --constraints requirements/dev.txt --output-file requirements/release.txt

$(RELEASE): requirements/release.txt | $(READY)
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/release
	@$(BIN)/uv pip install --quiet --python $(VENV)/release/bin/python --require-hashes --requirement requirements/release.txt
	@touch $@

release: $(READY) $(PAGE) $(RELEASE) audit ## make a release, push nothing (VERSION=1.4.0 REGISTRY=host/path/ ARGS=--without-images)
	@$(BIN)/python tools/licenses.py
	@$(BIN)/python tools/release.py "$(VERSION)" $(if $(REGISTRY),--registry $(REGISTRY)) $(ARGS)

clean: ## remove the environment, caches and builds (books and streams of a local run stay)
	rm -rf $(VENV) services/api/dashboard/node_modules services/api/src/tickbus_api/dashboard .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find libs services apps tests tools benchmarks \( -name __pycache__ -o -name dist -o -name '*.egg-info' \) \
	    -prune -exec rm -rf {} + 2>/dev/null || true
