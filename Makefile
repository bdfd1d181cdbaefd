# make run starts Lectern; make test tests it. Everything stands on setup, which makes .venv.
# On Windows, or without make: see the README's two pip lines.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup run test lint bench clean

setup: $(STAMP)
	@$(BIN)/python -m engine.checkpoint qwen2.5-coder-0.5b smollm2-135m \
		--cache "$$($(BIN)/python -c 'from app.settings import Settings; print(Settings.load().cache)')"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Lectern needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	# torch first and alone: with the exact version installed nothing pulls another build of it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	@touch $@

run: setup
	$(BIN)/lectern serve

# compiled first, by one process: two that compile the same at once can spoil Numba's cache
test: setup lint
	$(BIN)/python -c "import torch; from kernels import decode_row, tiles; decode_row.prepare(torch.bfloat16); tiles.prepare()"
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy engine kernels
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m tests.bench.engine

clean:
	rm -rf $(VENV) build dist *.egg-info
