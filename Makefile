# tickbus: one word per task. `make` alone prints the map.

VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
MEMBERS := $(sort $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml apps/*/pyproject.toml)))
PINS    := requirements/bootstrap.txt requirements/dev.txt
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --custom-compile-command "make pins" $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup run test integration chaos bench check format pins clean

help: ## print this map
	@echo "tickbus: make <verb> [ARGS=...]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv with the pinned packages (the other verbs do it when needed)

# Done again only when a pin, a member's pyproject.toml or the C source changes.
$(READY): $(PINS) $(MEMBERS:%=%/pyproject.toml) $(wildcard libs/orderbook/src/*/*.c) tools/setup.sh
	@tools/setup.sh $(VENV) $(MEMBERS)
	@touch $@

# `exec`: signals sent to make reach the platform itself, which then stops in order.
run: $(READY) ## start the whole platform on this machine; Ctrl-C stops it (ARGS=--fresh starts over)
	@exec $(BIN)/tickbus up $(ARGS)

test: $(READY) ## run the tests that need no container engine
	@$(BIN)/pytest $(ARGS)

integration: $(READY) ## run the tests against real NATS and Postgres in containers
	@$(BIN)/pytest tests/integration $(ARGS)

MINUTES ?= 5
SEED    ?= 1
chaos: $(READY) ## kill and break the platform under load, compare its books (MINUTES=5 SEED=1)
	@$(BIN)/python -m tickbus_testkit.chaos --minutes $(MINUTES) --seed $(SEED) \
	    --config config/default.yaml --config tests/chaos/chaos.yaml $(ARGS)

bench: $(READY) ## measure: ARGS=tick-to-order, feed, pipeline ...
	@exec $(BIN)/tickbus bench $(ARGS)

check: $(READY) ## formatting, lint, types, import contracts and house rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/tidy.py

format: $(READY) ## format the code and sort its imports
	$(BIN)/ruff check --select I --fix --quiet .
	$(BIN)/ruff format .

# The shipped sets are cut out of the development set, so every image runs the versions that were tested.
pins: $(READY) ## compile requirements/*.in into hashed pins (ARGS=--upgrade for newer versions)
	$(COMPILE) requirements/bootstrap.in --output-file requirements/bootstrap.txt
	$(COMPILE) requirements/dev.in --output-file requirements/dev.txt
	$(COMPILE) requirements/build.in --constraints requirements/dev.txt --output-file requirements/build.txt
	$(COMPILE) requirements/runtime.in --constraints requirements/dev.txt --output-file requirements/runtime.txt

clean: ## remove the environment, caches and builds (books and streams of a local run stay)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find libs services apps tests tools benchmarks \( -name __pycache__ -o -name dist -o -name '*.egg-info' \) \
	    -prune -exec rm -rf {} + 2>/dev/null || true
