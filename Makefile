.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
READY := .venv/.ready

.PHONY: help demo demo-ui test check lint types imports bench requirements clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(READY): requirements-dev.txt pyproject.toml scripts/setup.sh
	@bash scripts/setup.sh

demo: $(READY) ## load real, messy data in a real Airflow, and say what happened
	@$(PYTHON) scripts/demo.py

demo-ui: $(READY) ## the same with Airflow's web pages
	@$(PYTHON) scripts/demo.py --ui

test: $(READY) ## all tests; what needs a service that is not here is skipped with its reason
	@$(PYTHON) -m pytest

lint: $(READY)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: $(READY)
	@.venv/bin/mypy

imports: $(READY)
	@.venv/bin/lint-imports

check: lint types imports test ## what CI runs

bench: $(READY) ## speed and memory of the batch engine against its peers
	@$(PYTHON) benchmarks/batch.py

requirements: $(READY) ## pin what is installed: requirements.txt and requirements-dev.txt
	@bash scripts/compile_requirements.sh

clean: ## remove what the demo and the tests left
	@rm -rf .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
