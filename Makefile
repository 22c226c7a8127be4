# Two commands carry everything: `make up` and `make test`. Each does its own set-up.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# Set up once for each content of the lock file.
READY := $(VENV)/ready-$(shell sha256sum requirements-dev.txt | cut -c1-12)
STACK ?= local

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: up
up: $(READY) ## start the sandbox and bring the local stack up in it
	@[ "$(STACK)" = local ] || { echo "make up is for the local stack; for $(STACK): make preview STACK=$(STACK)" >&2; exit 2; }
	@$(RUN) -m sandbox up --deploy

.PHONY: down
down: $(READY) ## stop the sandbox; its state stays
	@$(RUN) -m sandbox down

.PHONY: status
status: $(READY) ## show what runs in the sandbox
	@$(RUN) -m sandbox status

.PHONY: test
test: test-offline test-sandbox ## unit tests, the policies, then behaviour in a sandbox of its own

.PHONY: test-offline
test-offline: $(READY) ## the tests that start nothing: units, and the policies
	@$(RUN) -m pytest tests/unit
	@$(RUN) -m pytest tests/policy

.PHONY: test-sandbox
test-sandbox: $(READY) ## the tests of behaviour, in a sandbox of their own
	@$(RUN) -m pytest tests/sandbox

.PHONY: test-faults
test-faults: $(READY) ## break the platform in every way that can happen; ends with a table
	@$(RUN) -m pytest tests/faults

.PHONY: pr-demo
pr-demo: $(READY) ## previews of typical pull requests, held against docs/pr-demo (WRITE=1 writes them anew)
	@$(if $(WRITE),PR_DEMO=write) $(RUN) -m pytest -s tests/pr_demo

.PHONY: lint
lint: $(READY) ## style, types, and the workflows
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@go -C .github/actionlint tool actionlint $(wildcard $(CURDIR)/.github/workflows/*.yml)
	@$(VENV)/bin/zizmor --offline --quiet .github

.PHONY: preview
preview: $(READY) ## preview STACK=local|dev|staging|prod in the sandbox, offline
	@$(RUN) -m sandbox preview $(STACK)

.PHONY: policy
policy: $(READY) ## hold STACK=dev|staging|prod to its policies, offline (JSON=1 for a program)
	@$(RUN) -m policies.offline $(STACK) $(if $(JSON),--json)

.PHONY: policies
policies: $(READY) ## hold every stack to its policies, offline
	@failed=0; for each in $(patsubst Pulumi.%.yaml,%,$(wildcard Pulumi.*.yaml)); do \
	  $(RUN) -m policies.offline $$each || failed=1; done; exit $$failed

.PHONY: bench
bench: $(READY) ## measure what docs/performance.md reports
	@$(RUN) -m bench

.PHONY: docs
docs: $(READY) ## write the generated pages under docs/
	@$(RUN) -m settings > docs/configuration.md
	@$(RUN) -m policies.page > docs/policies.md
	@$(RUN) -m tests.unit.pictures

.PHONY: lock
lock: $(READY) ## write requirements*.txt from requirements*.in
	@for each in requirements requirements-dev; do \
	  $(VENV)/bin/uv pip compile --quiet --generate-hashes --python-version 3.11 \
	    --custom-compile-command 'make lock' $$each.in --output-file $$each.txt; done

.PHONY: clean
clean: ## remove the sandbox's state and the virtualenv (not the toolchain cache)
	@if compgen -G '$(VENV)/ready-*' >/dev/null; then $(RUN) -m sandbox reset --yes; fi
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with make PYTHON=python3.11" >&2; exit 1; }
	@echo "virtualenv: installing $$(grep -c '^[a-z]' requirements-dev.txt) packages into $(VENV)" >&2
	@[ -x $(RUN) ] || $(PYTHON) -m venv $(VENV)
	@[ -x $(VENV)/bin/uv ] || $(RUN) -m pip install --quiet --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements-dev.txt)"
	@$(VENV)/bin/uv pip sync --quiet --python $(RUN) requirements-dev.txt
	@rm -f $(VENV)/ready-*
	@touch $@
