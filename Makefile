# Everything a developer or a newcomer types. Each target sets up what it needs, from Python 3.11+ and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := tests/clients/node_modules/.package-lock.json
PIP_INSTALL := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$(CURDIR)/requirements.lock $(BIN)/python -m pip install --quiet

.PHONY: demo yahoo-stub test soak check bench format lock schema clean

demo: .make/runtime
	@$(BIN)/freshtape demo

# A server that speaks Yahoo's shapes, for who has no internet.
yahoo-stub: .make/dev
	@$(BIN)/python -m tests.support.yahoo

test: .make/dev $(CLIENTS)
	$(BIN)/python -m pytest

# More of what is made up.
soak: .make/dev $(CLIENTS)
	FRESHTAPE_TEST_FUZZED=2000 $(BIN)/python -m pytest tests/web/test_malformed.py

check: .make/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/freshtape schema | diff -u schema.graphql -
	$(BIN)/freshtape config --markdown | diff -u docs/configuration.md -

bench: .make/dev
	$(BIN)/python -m benchmarks

# Rewrites what `make check` compares.
format schema: .make/dev
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .
	$(BIN)/freshtape schema > schema.graphql
	$(BIN)/freshtape config --markdown > docs/configuration.md

# The newest versions that pyproject.toml allows, by name and version alone.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet hatchling '.[dev]'
	.venv-lock/bin/python -m pip freeze --exclude freshtape > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) .make tests/clients/node_modules

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit("Freshtape needs Python 3.11 or newer: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

.make/runtime: pyproject.toml requirements.lock $(VENV)/pyvenv.cfg
	@echo "Setting up Freshtape in $(VENV) (a minute, the first time) …"
	@$(PIP_INSTALL) --editable .
	@mkdir -p .make && touch $@

.make/dev: pyproject.toml requirements.lock $(VENV)/pyvenv.cfg
	@echo "Setting up Freshtape and its tools in $(VENV) (a minute or two, the first time) …"
	@$(PIP_INSTALL) --editable '.[dev]'
	@mkdir -p .make && touch $@ .make/runtime

# The GraphQL clients of the tests, exactly as locked, by the npm that came with .make/dev.
$(CLIENTS): tests/clients/package-lock.json | .make/dev
	@cd tests/clients && $(CURDIR)/$(BIN)/npm ci --loglevel=error
	@touch $@
