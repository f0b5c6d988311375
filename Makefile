# Needs Python 3.11 with venv, make and access to PyPI; everything goes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export MPLBACKEND := agg

.PHONY: demo report check test units lint benchmarks lock schema clean

demo: .venv/runtime        ## install, then draw the quickstart's figures
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores all
	@echo "The figures are in results/quickstart/figures/."

report: demo               ## the same, then everything in one page
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --report results/quickstart/report.html

# Three workers on two cores: one is often waiting, mostly for Slurm.
PYTEST = $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

check: .venv/development   ## what each commit must pass, within a minute: `lint` and `units`, side by side
	$(MAKE) --jobs 2 --output-sync=target lint units

test: .venv/development    ## install what tests need, then run them all
	$(PYTEST)

units: .venv/development   ## all tests but those that run whole studies
	$(PYTEST) --ignore tests/workflow

lint: .venv/development    ## style and types of Python, style and habits of Snakemake files
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/mypy
	PYTHONPATH=workflow/scripts $(BIN)/lint-imports
	$(BIN)/snakemake --lint

benchmarks: .venv/benchmarks ## install what the kernel is compared with (JAX among it), and say how to compare
	@echo "Now run: $(BIN)/python benchmarks/ntk_peers.py --data data/cifar10-imagefolder.tar.gz"

# A stamp is written only after a complete install: an interrupted one starts over, a finished one costs nothing.
.venv/runtime: requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v == (3, 11) else f"Python 3.11 is needed, {sys.executable} is {v[0]}.{v[1]}: call make with PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

.venv/development: requirements-dev.lock .venv/runtime
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

.venv/benchmarks: benchmarks/requirements.lock .venv/runtime
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements.lock
	@touch $@

lock:                      ## rewrite the lock files from pyproject.toml, in a new .venv
	rm -rf .venv && $(PYTHON) -m venv .venv
	$(call pinned,project,dependencies) | $(BIN)/pip install -r /dev/stdin
	$(BIN)/pip freeze | sed 's/+cpu$$//' > requirements.lock
	$(call pinned,dependency-groups,dev) | $(BIN)/pip install -r /dev/stdin
	$(BIN)/pip freeze | sed 's/+cpu$$//' | grep -vxFf requirements.lock > requirements-dev.lock
	$(call pinned,dependency-groups,benchmarks) | grep -v neural-tangents | $(BIN)/pip install -r /dev/stdin
	$(call pinned,dependency-groups,benchmarks) | grep neural-tangents | $(BIN)/pip install --no-deps -r /dev/stdin
	$(BIN)/pip freeze | sed 's/+cpu$$//' | grep -vxF -f requirements.lock -f requirements-dev.lock > benchmarks/requirements.lock
	@touch .venv/runtime .venv/development .venv/benchmarks

pinned = $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["$(1)"]["$(2)"], sep="\n")'

schema: .venv/runtime      ## rewrite config/schema.yaml and config/README.md from the models of reactivation/study/
	cd workflow/scripts && "$(CURDIR)/$(BIN)/python" -m reactivation.study.schema > "$(CURDIR)/config/schema.yaml"
	cd workflow/scripts && "$(CURDIR)/$(BIN)/python" -m reactivation.study.handbook > "$(CURDIR)/config/README.md"

clean:                     ## remove the environment, but neither results nor Snakemake's records of what made them
	rm -rf .venv
