# Two commands are enough: `make serve` runs the server, `make test` runs every test.
# Everything is installed into .venv (and .reference for the server we are compared with) from requirements/*.txt.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
HOST ?= 127.0.0.1
PORT ?= 8888
DATA ?= var
JOBS ?= auto
BIN := .venv/bin
FROM_NPM := $(if $(shell command -v npm),$(addsuffix /node_modules/.package-lock.json,tests/clients/js tests/openid/js))
CONSOLE := .console/build/index.html
CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name))))
FIREFOX ?= $(firstword $(foreach name,firefox-esr firefox,$(shell command -v $(name))))
SOFTHSM2_MODULE ?= /usr/lib/softhsm/libsofthsm2.so
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes
PYTEST ?= $(BIN)/python -m pytest

.PHONY: help serve test lint format bench fuzz campaign docs docs-reference console chromium firefox softhsm lock dev clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

serve: .venv/.server ## Run the server on 127.0.0.1:8888 (PORT=, HOST=, DATA= change it)
	@test -f $(DATA)/kintoun.toml || $(BIN)/kintoun init --quiet --directory $(DATA)
	@exec $(BIN)/kintoun serve --config $(DATA)/kintoun.toml --host $(HOST) --port $(PORT) --admin admin

test: .venv/.dev .reference/.installed $(FROM_NPM) $(CONSOLE) chromium firefox softhsm ## Run every test, on SQLite and on PostgreSQLs that it starts itself (JOBS=1: one by one)
	CHROMIUM="$(CHROMIUM)" FIREFOX="$(FIREFOX)" $(PYTEST) -n $(JOBS) --dist loadfile

lint: .venv/.dev ## Check style, types and the floors of the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.dev .reference/.installed ## Measure this server beside the reference (BENCH="--quick --only W1,W7" for less)
	$(BIN)/python -m bench run $(BENCH)

fuzz: .venv/.dev ## Throw generated input at the server, the long form
	$(PYTEST) -m fuzz

campaign: .venv/.dev ## Long runs of the sync checker and of the faults
	$(PYTEST) -m campaign

docs: .venv/.dev ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-reference: .venv/.dev ## Write the generated pages of the documentation again
	$(BIN)/python -m tests.docs.generate

console: $(CONSOLE) ## Fetch the build of kinto-admin into .console/build

# $(call from-debian,PACKAGE,VARIABLE,WHERE IT IS)
define from-debian
	@test -n "$(3)" || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { \
			echo "The tests need $(1): install it, or say where with $(2)=/path" >&2; exit 1; }; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1) >/dev/null; }
endef

chromium:
	$(call from-debian,chromium,CHROMIUM,$(CHROMIUM))

firefox:
	$(call from-debian,firefox-esr,FIREFOX,$(FIREFOX))

softhsm:
	$(call from-debian,softhsm2,SOFTHSM2_MODULE,$(wildcard $(SOFTHSM2_MODULE)))

dev: .venv/.dev .reference/.installed $(FROM_NPM) $(CONSOLE) ## Install everything that development needs

RESOLVE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links

lock: ## Resolve the locked versions again (needs uv; UPGRADE=--upgrade takes the newest)
	$(RESOLVE) $(UPGRADE) pyproject.toml requirements/build.in --extra all -o requirements/server.txt
	$(RESOLVE) $(UPGRADE) pyproject.toml requirements/build.in --extra dev -c requirements/server.txt -o requirements/dev.txt
	$(RESOLVE) $(UPGRADE) requirements/reference.in -o requirements/reference.txt
	$(RESOLVE) --no-deps requirements/console.in -o requirements/console.txt

clean: ## Remove what was installed and built, and keep the data
	rm -rf .venv .reference .console site dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Kintoun needs Python 3.11 or newer; say where with PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.server: requirements/server.txt pyproject.toml | .venv/bin/python
	$(BIN)/python $(PIP_INSTALL) -r requirements/server.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | .venv/bin/python
	$(BIN)/python $(PIP_INSTALL) -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@ .venv/.server

.reference/.installed: requirements/reference.txt
	@test -n "$(PYTHON)" || { echo "Kintoun needs Python 3.11 or newer; say where with PYTHON=/path/to/python" >&2; exit 1; }
	test -x .reference/bin/python || $(PYTHON) -m venv .reference
	.reference/bin/python $(PIP_INSTALL) -r requirements/reference.txt
	touch $@

$(CONSOLE): requirements/console.txt | .venv/bin/python
	rm -rf .console
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
		--dest .console -r requirements/console.txt
	$(BIN)/python -m zipfile -e .console/kinto-*.whl .console/wheel
	mv .console/wheel/kinto/plugins/admin/build .console/build
	rm -rf .console/wheel .console/*.whl
	touch $@

tests/%/js/node_modules/.package-lock.json: tests/%/js/package-lock.json
	cd tests/$*/js && npm ci --ignore-scripts --no-audit --no-fund --silent
	touch $@
