# Needs Python 3.11 with venv, make and a package index; everything goes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export MPLBACKEND := agg

.PHONY: demo test lint lock schema clean

demo: .venv/runtime        ## install, then draw the quickstart's figures
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores all
	@echo "The figures are in results/quickstart/figures/."

test: .venv/development    ## install what tests need, then run them all
	$(BIN)/python -m pytest

lint: .venv/development    ## style of Python and Snakemake files
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules

# A stamp is written only after a whole install: an interrupted one starts over, a finished one costs nothing.
.venv/runtime: requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v == (3, 11) else f"Python 3.11 is needed, {sys.executable} is {v[0]}.{v[1]}: call make with PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

.venv/development: requirements-dev.lock .venv/runtime
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

lock:                      ## rewrite both lock files from pyproject.toml, in a new .venv
	rm -rf .venv && $(PYTHON) -m venv .venv
	$(call pinned,project,dependencies) | $(BIN)/pip install -r /dev/stdin
	$(BIN)/pip freeze | sed 's/+cpu$$//' > requirements.lock
	$(call pinned,dependency-groups,dev) | $(BIN)/pip install -r /dev/stdin
	$(BIN)/pip freeze | sed 's/+cpu$$//' | grep -vxFf requirements.lock > requirements-dev.lock
	@touch .venv/runtime .venv/development

pinned = $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["$(1)"]["$(2)"], sep="\n")'

schema: .venv/runtime      ## rewrite config/schema.yaml from the models in schema.py
	cd workflow/scripts && "$(CURDIR)/$(BIN)/python" -m reactivation.schema > "$(CURDIR)/config/schema.yaml"

clean:                     ## remove the environment and Snakemake's records; results stay
	rm -rf .venv .snakemake
