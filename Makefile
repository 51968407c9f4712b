# Every target sets itself up in .venv on a machine with only python3 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

TORCH := .venv-torch

.PHONY: demo test test-torch quick lint bench format clean

demo: $(VENV)/.report
	$(BIN)/spiq demo

test: lint
	$(BIN)/python -m pytest -n auto

# What needs PyTorch, in an environment of its own (5.5 GB).
test-torch: $(TORCH)/.torch
	$(TORCH)/bin/python -m pytest -n auto tests/torch tests/emulation tests/reconstruct

# The daily round: what needs neither the zoo, processes nor whole networks.
quick: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m 'not zoo and not process and not end_to_end'

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.bench
	$(BIN)/python bench/run_all.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(TORCH) build dist .pytest_cache .ruff_cache .mypy_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.report: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[report]'
	touch $@ $(VENV)/.core

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.core $(VENV)/.report

$(VENV)/.bench: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@ $(VENV)/.core

$(TORCH)/.torch: pyproject.toml
	$(PYTHON) -m venv $(TORCH)
	$(TORCH)/bin/python -m pip install --quiet --editable '.[dev,torch]' \
	    torch==2.14.1 torchvision==0.29.1 timm==1.0.31
	touch $@
