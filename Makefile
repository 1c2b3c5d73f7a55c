# Every target makes its own environment: a clone and `make demo` or `make test` is all.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: demo test test-long test-lowest lint doctest docs clean

demo: $(READY)
	$(BIN)/python docs/examples/quickstart.py

test: $(READY)
	$(BIN)/python -m pytest

# the properties with 2,000 examples each, drawn anew each time: about two hours
test-long: $(READY)
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/test_properties.py

# in an environment of its own; the lowest torch comes with gigabytes of CUDA libraries
test-lowest:
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable ".[test]"
	$(VENV)-lowest/bin/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

doctest: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --doctest-glob="*.rst" docs

docs: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/sphinx-build -W docs docs/_build

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) $(VENV)-lowest
