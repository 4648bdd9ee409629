# Everything in two commands: `make demo` and `make test`. Both make the environment they need.
ROOT := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
PYTHON ?= python3
BIN := $(ROOT).venv/bin/
export MPLBACKEND := Agg

.PHONY: demo test test-gpu test-simulated lint types mutants judge bench docs dist clean
.DELETE_ON_ERROR:

demo: $(ROOT).venv/installed
	rm -rf $(ROOT)runs/demo
	$(BIN)minigan train dcgan --out $(ROOT)runs/demo
	$(BIN)minigan eval $(ROOT)runs/demo --min-share 0.05

test: $(ROOT).venv/installed-test
	cd $(ROOT) && $(BIN)python -m pytest -n 2 --dist loadfile
	cd $(ROOT) && OPENBLAS_NUM_THREADS=1 $(BIN)python -m pytest -n 2 --dist loadfile --minigan-backend strict tests

test-gpu: $(ROOT).venv/installed-test
	cd $(ROOT) && $(BIN)python -m pytest --minigan-backend cupy tests

test-simulated: $(ROOT).venv/installed-test
	cd $(ROOT) && MINIGAN_SIMULATED=1 $(BIN)python -m pytest -n 2 --dist loadfile --minigan-backend strict tests

lint: $(ROOT).venv/installed-test
	cd $(ROOT) && $(BIN)ruff check . && $(BIN)ruff format --check .

types: $(ROOT).venv/installed-test
	cd $(ROOT) && $(BIN)mypy && $(BIN)mypy --warn-return-any tests/typing/public_api.py

dist: $(ROOT).venv/installed-test
	rm -rf $(ROOT)dist
	$(BIN)python -m build --outdir $(ROOT)dist $(ROOT)
	$(BIN)python $(ROOT)tests/packaging/smoke.py $(ROOT)dist

mutants: $(ROOT).venv/installed-test
	cd $(ROOT) && $(BIN)python tests/mutants/engine_laws.py
	cd $(ROOT) && $(BIN)python tests/mutants/layers.py

judge: $(ROOT).venv/installed
	cd $(ROOT) && $(BIN)python -m minigan.metrics.train_judge mnist

bench: $(ROOT).venv/installed-bench
	cd $(ROOT) && $(BIN)minigan bench

docs: $(ROOT).venv/installed-docs
	$(BIN)python -m sphinx -W --keep-going -q -d $(ROOT)docs/_build/doctrees $(ROOT)docs $(ROOT)docs/_build/html
	@echo "docs/_build/html/index.html"

$(ROOT).venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "minigan needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(ROOT).venv

$(ROOT).venv/installed: $(ROOT)pyproject.toml | $(ROOT).venv/bin/python
	$(BIN)python -m pip install --quiet --disable-pip-version-check --editable $(ROOT)
	touch $@

$(ROOT).venv/installed-test: $(ROOT)pyproject.toml | $(ROOT).venv/bin/python
	$(BIN)python -m pip install --quiet --disable-pip-version-check --editable "$(ROOT)[test,lint]"
	touch $@

$(ROOT).venv/installed-bench: $(ROOT)pyproject.toml | $(ROOT).venv/bin/python
	$(BIN)python -m pip install --quiet --disable-pip-version-check --editable "$(ROOT)[bench]"
	touch $@

$(ROOT).venv/installed-docs: $(ROOT)pyproject.toml | $(ROOT).venv/bin/python
	$(BIN)python -m pip install --quiet --disable-pip-version-check --editable "$(ROOT)[docs]"
	touch $@

clean:
	rm -rf $(ROOT).venv $(ROOT)runs $(ROOT)build $(ROOT)dist $(ROOT)docs/_build $(ROOT)docs/learn
