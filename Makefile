# Everything runs in .venv, made here on first use; nothing is installed outside this folder.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/pip --disable-pip-version-check --no-cache-dir

.PHONY: quickstart test lint format benchmark-merge benchmark-merge-growth benchmark-decode benchmark-finetune benchmark-tune clean

quickstart: $(VENV)/.runtime  ## real Whisper, real speech: two experts, five merges, one table, one chart
	$(VENV)/bin/lors quickstart --out quickstart

test: $(VENV)/.development    ## every test, the whole path on real weights and real voices included
	$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup

lint: $(VENV)/.development    ## style, types, direction of the layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.development
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# ARGS="--only floor,lors" and the like go to the scripts; models, logs and mergekit's environment go to /tmp/lors-benchmark.
benchmark-merge: $(VENV)/.runtime         ## lors against mergekit and the authors' arithmetic: time, memory, outputs
	$(VENV)/bin/python benchmarks/merge/compare.py $(ARGS)

benchmark-merge-growth: $(VENV)/.runtime  ## time and memory against experts and model size
	$(VENV)/bin/python benchmarks/merge/growth.py $(ARGS)

benchmark-decode: $(VENV)/.runtime        ## lors against transformers: time, memory, texts, WER; ARGS="--data test.jsonl"
	$(VENV)/bin/python benchmarks/decode/compare.py $(ARGS)

benchmark-finetune: $(VENV)/.runtime      ## lors finetune against the stock recipe; wants ARGS="--data DIR" of `lors prepare prompts`
	$(VENV)/bin/python benchmarks/finetune/compare.py $(ARGS)

benchmark-tune: $(VENV)/.runtime          ## lors tune against merging and evaluating each candidate; wants ARGS="--data DIR --expert E …"
	$(VENV)/bin/python benchmarks/tune/compare.py $(ARGS)

clean:
	rm -rf $(VENV) quickstart

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.development: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.runtime
