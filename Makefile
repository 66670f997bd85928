# The commands behind most targets stand in .ci/run.
.DEFAULT_GOAL := help
.PHONY: help setup fmt lint types imports test test-postgres soak deployment cov docs docs-check demo check dist-check bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## the environment in .venv, from the lock file
	uv sync

fmt: ## format, and mend what can be mended without thinking
	uv run ruff check --fix .
	uv run ruff format .

lint: ## style: ruff check, ruff format
	@.ci/run lint

types: ## mypy, strict
	@.ci/run types

imports: ## which part may import which
	@.ci/run imports

test: ## all tests; T=tests/plan selects
	$(if $(T),uv run pytest $(T),@.ci/run test)

cov: ## all tests with branch coverage
	uv run --with pytest-cov pytest -n 2 --cov=ci_mailchimp_pipeline --cov-branch --cov-report=term-missing:skip-covered

docs: ## make what is made from the code: JSON Schema, reference of exports.yaml, command line
	uv run python -m ci_mailchimp_pipeline.config.reference
	uv run python -m ci_mailchimp_pipeline.cli.reference > docs/cli.md

docs-check: ## is it as new as the code?
	@.ci/run docs

test-postgres: ## whole runs over PostgreSQL, and many programs at once; takes an hour
	@.ci/run test_postgres

soak: ## everything that can happen, in any order, for MINUTES=60, over LEDGER=sqlite or postgresql
	SOAK_MINUTES=$(or $(MINUTES),60) uv run pytest -q -m soak --ledger $(or $(LEDGER),sqlite) tests/properties/test_machine.py

deployment: ## page and daemon as processes, watched for minutes
	@.ci/run deployment

demo: ## everything once against a local Mailchimp
	@.ci/run demo

check: ## what a commit has to pass
	@.ci/run lint types imports docs test

dist-check: ## build the wheel, install it alone, run it
	@.ci/run dist

bench: ## a thousand exports, a million profiles; takes minutes
	uv run python benchmarks/load.py
	uv run python benchmarks/million.py
