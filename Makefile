# edgemesh: `make demo` runs it, `make test` proves it. Each target does its own set-up.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: alarm-load cause-table help install install-dev demo test fuzz check format coverage schema bench bench-quick quality rule-table rule-pages prove faults grafana observability arm-wheels clean

help:  ## show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit("edgemesh needs Python 3.11 or newer, this is %d.%d; try: make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.made pyproject.toml constraints.txt
	@echo "installing into .venv (once) ..." >&2
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[all]' >&2
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo "installing what the tests need (once) ..." >&2
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]' >&2
	@touch $@

install: .venv/.installed  ## make .venv and install edgemesh with all extras

install-dev: .venv/.installed-dev  ## the same, and the tools that tests and checks need

demo: .venv/.installed  ## the whole loop on simulated machines; ARGS="--for 60 --json" ends by itself
	@exec $(BIN)/edgemesh demo $(ARGS)

test: .venv/.installed-dev  ## every test; ARGS are pytest's
	@$(BIN)/python -m pytest $(ARGS)

fuzz: .venv/.installed-dev  ## 60 s of coverage-guided fuzzing of every decoder; ARGS="--seconds 3600 --keep"
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

check: .venv/.installed-dev  ## style, types and floors
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: .venv/.installed-dev  ## put the code into its form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

coverage: .venv/.installed-dev  ## tests, with the lines and branches that they reach
	@$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

schema: .venv/.installed  ## write docs/schema anew from the records
	@$(BIN)/python -m edgemesh.wire.schema docs/schema

bench-quick: .venv/.installed  ## speed and latency of the whole chain, under a minute
	@$(BIN)/python benchmarks/chain.py $(ARGS)

bench: bench-quick  ## all benchmarks
	@for each in bus log wire store writer detect dispatch; do echo "== $$each"; $(BIN)/python -m benchmarks.$$each || exit 1; done

DATA ?= data
quality: .venv/.installed  ## how good detection is on recorded data; DATA=FOLDER has skab/ and nab/
	@$(BIN)/python benchmarks/quality.py $(DATA) $(ARGS)

rule-table: .venv/.installed  ## seven normal days that raise nothing, and which rule sees which fault after how long
	@$(BIN)/python benchmarks/rules.py $(ARGS)

cause-table: .venv/.installed  ## which cause triage names for each fault of the simulator
	@$(BIN)/python -m benchmarks.causes $(ARGS)

alarm-load: .venv/.installed  ## a simulated week of a site with all faults beside the targets of ISA-18.2
	@$(BIN)/python -m benchmarks.alarm_load $(ARGS)

rule-pages: .venv/.installed  ## write the page of rule templates anew
	@$(BIN)/edgemesh templates --markdown > edgemesh/detect/templates/README.md

prove: .venv/.installed  ## throw faults at a real site; nothing may be lost or done twice
	@$(BIN)/edgemesh prove $(ARGS)

faults: .venv/.installed  ## the whole catalogue of faults, as a table; ARGS="--short" takes minutes instead of an hour
	@$(BIN)/edgemesh prove --all $(ARGS)

grafana: .venv/.installed  ## write dashboards, alert rules and provisioning of Grafana anew
	@$(BIN)/python -m grafana.generator

observability: .venv/.installed  ## what each panel of Grafana finds in a real InfluxDB that a real site has filled
	@$(BIN)/python -m grafana.observe $(ARGS)

arm-wheels: .venv/.installed  ## check that every pinned dependency has a wheel for 64-bit ARM
	@grep -v ' ; ' constraints.txt > .venv/arm.txt  # what has a condition is for other machines
	@for version in 3.11 3.12 3.13; do $(BIN)/python -m pip install -q --disable-pip-version-check --dry-run --no-deps \
	    --only-binary=:all: --target .venv/arm --python-version $$version --implementation cp \
	    --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux_2_27_aarch64 \
	    --platform manylinux_2_28_aarch64 -r .venv/arm.txt 2>/dev/null \
	    && echo "Python $$version: all $$(grep -c == .venv/arm.txt) wheels exist for aarch64" || exit 1; done

clean:  ## remove what was made here (not your data folder)
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov .import_linter_cache
