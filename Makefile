# Every target makes its own environment: a clone and `make demo` or `make test` is all.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: demo test test-lowest lint doctest docs clean

demo: $(READY)
	MPLBACKEND=Agg $(BIN)/python docs/examples/plot_1_quickstart.py

test: $(READY)
	$(BIN)/python -m pytest

# in an environment of its own; the lowest torch comes with gigabytes of CUDA libraries
test-lowest:
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable ".[test]"
	$(VENV)-lowest/bin/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the code in the pages, and the scripts of the gallery on small data
doctest: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --doctest-glob="*.rst" docs

docs: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going docs docs/_build

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) $(VENV)-lowest docs/_build docs/auto_examples docs/generated
