# `make demo` and `make test` first install the package into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-slow lint format notebooks release clean

help:
	@echo "make demo        install into $(VENV), run a small search and print its Pareto front"
	@echo "make test        install, run the tests (minutes)"
	@echo "make test-slow   run the tests that take longer"
	@echo "make lint        run ruff and mypy --strict"
	@echo "make format      format the code with ruff"
	@echo "make notebooks   run the notebooks on the search of make demo, and keep their outputs"
	@echo "make release     build the wheel, and ONNX files of the models in it, in dist/"
	@echo "make clean       delete $(VENV), outputs/ and the caches"

# Marks the environment as complete; outdated when one of its two inputs changes.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "falsr_nas needs Python 3.11 or later: make PYTHON=python3.12"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/python -m falsr_nas.search +experiment=demo run_dir=outputs/demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: demo
	$(BIN)/jupyter execute --inplace notebooks/*.ipynb

release: $(VENV)/installed
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	for model in $(notdir $(patsubst %/,%,$(dir $(wildcard src/falsr_nas/models/shipped/*/model.safetensors)))); do \
		$(BIN)/python -m falsr_nas.export model=$$model output=dist/$$model.onnx || exit; \
	done

clean:
	rm -rf $(VENV) outputs .pytest_cache .mypy_cache .ruff_cache .hypothesis
