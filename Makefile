# Two commands set everything up: `make demo` to see it work, `make test` to be sure that it does.
# Python 3.11 or newer with pip is all they need; everything goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?= -n 2 --dist loadgroup

export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help cards demo test mutants some-mutants test-oldest lint format picture docs wheel-smoke frozen sbom audit clean

help:
	@echo "make demo    find the face in examples/astronaut.jpg, write demo-output/"
	@echo "make test    run all tests          (ARGS='-x tests/core' for some)"
	@echo "make mutants plant known faults in copies of the package: do the tests notice? (MUTANTS=dan-inverse: one)"
	@echo "make some-mutants  ten of them, drawn by the hash of the commit"
	@echo "make lint    ruff, mypy, import-linter"
	@echo "make format  let ruff write the code as it wants it"
	@echo "make picture draw the pictures in docs/images again"
	@echo "make docs    build the pages into docs/_build, with the API reference"
	@echo "make wheel-smoke  build the wheel twice, try it alone on every Python that is here"
	@echo "make cards   try every command on the cards of the weights at the commit that it names"
	@echo "make frozen  freeze the command line with PyInstaller and try every model in it"
	@echo "make test-oldest  run the tests on the oldest versions that pyproject.toml allows"
	@echo "make sbom    write dist/meanshape.cdx.json: what the wheel brings along (CycloneDX)"
	@echo "make audit   ask PyPI for known weaknesses of what the wheel and its extras bring along"
	@echo "make clean   remove .venv and what tools left behind"

demo: .venv/.installed
	@$(BIN)/meanshape detect examples/astronaut.jpg \
		-o demo-output/astronaut.jsonl --overlay demo-output/astronaut.png
	@echo "The picture: demo-output/astronaut.png. The points: demo-output/astronaut.jsonl."

test: .venv/.test
	$(BIN)/python -m pytest $(ARGS)

# The tests that watch over the tests: tests/mutants/mutants.toml. All take half an hour on two cores, ten a minute or two.
mutants: .venv/.test
	$(BIN)/python tests/mutants/plant.py $(MUTANTS)

some-mutants: .venv/.test
	$(BIN)/python tests/mutants/plant.py --seeded 10 --by "$$(git rev-parse HEAD 2> /dev/null || echo none)"

lint: .venv/.test
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.test
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format .

picture: .venv/.installed
	$(BIN)/python docs/pictures.py

docs: .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build

# Release: uv makes the environments, for it can choose the oldest versions and is quick.
wheel-smoke: .venv/.release
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/packaging/wheel_smoke.py

frozen: .venv/.release
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/packaging/frozen_smoke.py

# Wants the history of git.
cards: .venv/.test
	$(BIN)/python tests/packaging/cards.py

# The oldest Python, too. With the oldest torch and, on Linux, its CUDA libraries: some gigabytes.
OLDEST := .venv/oldest
test-oldest: .venv/.release
	$(BIN)/uv venv -q --clear --python 3.11 $(OLDEST)
	$(BIN)/uv pip install -q --python $(OLDEST) --resolution lowest-direct -e '.[train,plot,video,web,ray,parquet,mat73,heif,test]' 'httpx2>=2.0'
	$(OLDEST)/bin/python -m pytest $(ARGS) -W default::DeprecationWarning \
		-W default::pytest.PytestUnraisableExceptionWarning --ignore tests/test_house.py --ignore tests/packaging

sbom: .venv/plain
	mkdir -p dist
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/meanshape.cdx.json .venv/plain/bin/python

# AUDIT=--oldest asks about the oldest versions that pyproject.toml allows, AUDIT='--source osv' another source.
audit: .venv/.release
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/packaging/audit.py $(AUDIT)

.venv/plain: pyproject.toml .venv/.release
	$(BIN)/uv venv -q --clear --python $(BIN)/python $@
	$(BIN)/uv pip install -q --python $@ .

clean:
	rm -rf .venv demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Meanshape needs Python 3.11 or newer: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv

# Stamps: what is installed already is not installed again until its list changes.
.venv/.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q -e .
	@touch $@

.venv/.test: pyproject.toml requirements-test.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -r requirements-test.txt
	@touch $@ .venv/.installed

.venv/.release: requirements-release.txt | .venv/.test
	$(BIN)/python -m pip install -q -r requirements-release.txt
	@touch $@
