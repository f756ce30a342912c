# Everything a developer or a newcomer types. Each target sets up what it needs, from Python 3.11+ and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UI := schema.graphql $(shell find web/ui -name node_modules -prune -o -type f ! -name gql.ts ! -name '*.pyc' -print)
CLIENTS := tests/clients/node_modules/.package-lock.json
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --prefix
PIP_INSTALL := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$(CURDIR)/requirements.lock $(BIN)/python -m pip install --quiet

.PHONY: demo ui yahoo-stub test browser soak check bench format lock schema clean

demo: .make/runtime
	@$(BIN)/freshtape demo

# The dashboard and the playground, into web/static; the others see to it by themselves.
ui: .make/runtime

# A server that speaks Yahoo's shapes, for who has no internet.
yahoo-stub: .make/dev
	@$(BIN)/python -m tests.support.yahoo

test: .make/dev $(CLIENTS) browser
	$(BIN)/python -m pytest

# More of what is made up.
soak: .make/dev $(CLIENTS)
	FRESHTAPE_TEST_FUZZED=2000 $(BIN)/python -m pytest tests/web/test_malformed.py

check: .make/dev web/ui/node_modules/.package-lock.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/freshtape schema | diff -u schema.graphql -
	$(BIN)/freshtape config --markdown | diff -u docs/configuration.md -
	$(NPM) web/ui run --silent check

bench: .make/dev
	$(BIN)/python -m benchmarks

# Rewrites what `make check` compares.
format schema: .make/dev web/ui/node_modules/.package-lock.json
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .
	$(BIN)/freshtape schema > schema.graphql
	$(BIN)/freshtape config --markdown > docs/configuration.md
	$(NPM) web/ui run --silent format

# The newest versions that pyproject.toml allows, by name and version alone; of the PYTHON that it is made with, so take the oldest.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet hatchling '.[dev]'
	.venv-lock/bin/python -m pip freeze --exclude freshtape > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) .make tests/clients/node_modules web/ui/node_modules web/static

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit("Freshtape needs Python 3.11 or newer: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

.make/runtime: pyproject.toml requirements.lock $(UI) $(VENV)/pyvenv.cfg
	@echo "Setting up Freshtape in $(VENV) (a minute, the first time) …"
	@$(PIP_INSTALL) --editable .
	@mkdir -p .make && touch $@

.make/dev: pyproject.toml requirements.lock $(UI) $(VENV)/pyvenv.cfg
	@echo "Setting up Freshtape and its tools in $(VENV) (a minute or two, the first time) …"
	@$(PIP_INSTALL) --editable '.[dev]'
	@mkdir -p .make && touch $@ .make/runtime

# What the tests' clients and the dashboard are made with, exactly as locked.
%/node_modules/.package-lock.json: %/package-lock.json | .make/dev
	@$(NPM) $* ci --loglevel=error
	@touch $@

# For the tests of the dashboard: the machine's own, or Debian's where it may be installed.
browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name > /dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	echo "Installing Chromium for the tests of the dashboard …"; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core > /dev/null; \
	else echo "The tests of the dashboard need Chromium: install it, or run: $(BIN)/playwright install chromium"; fi
