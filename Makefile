# Every target makes its own environment: a clone and `make demo` or `make test` is all.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: demo test coverage test-kills test-long test-lowest lint doctest docs release clean

demo: $(READY)
	MPLBACKEND=Agg $(BIN)/python docs/examples/plot_1_quickstart.py

test: $(READY)
	$(BIN)/python -m pytest

# the same tests, which have to run 95 % of the package; to measure takes time
coverage: $(READY)
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered

# kill fits at 200 random moments, and compare with fits that were left alone
test-kills: $(READY)
	SKDAM_KILLS=200 $(BIN)/python -m pytest tests/estimator/test_checkpoint.py -k killed -s

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

# the code in the pages, and the scripts of the gallery on small data
doctest: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest docs

docs: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going docs docs/_build

# what is to be uploaded, in dist: checked, the wheel tried alone, the tests run from the sources
FIRST_FIT = "from sklearn.datasets import load_breast_cancer; import skdam; X, y = \
  load_breast_cancer(return_X_y=True); clf = skdam.CompositionalAUCClassifier().fit(X, y); \
  print(skdam.__version__, skdam.__file__, clf.oob_score_)"

release: $(READY)
	rm -rf dist build
	$(BIN)/python -m pip install --quiet build twine
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	cd build && wheel/bin/python -W error -c $(FIRST_FIT)
	mkdir build/sources && tar --extract --gzip --file dist/*.tar.gz --strip-components 1 --directory build/sources
	$(MAKE) --directory build/sources test

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist docs/_build docs/auto_examples docs/generated
