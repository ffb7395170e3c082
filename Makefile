# Two commands do everything on a machine with Python 3.11 or newer:
#   make demo    a simulated data set through the whole chain, from movies to a sharpened map
#   make test    every check and test
# and one more makes what others install:
#   make wheel   dist/cryosnake-*.whl, the package with the workflow in it
# What takes too long for every change, an hour or two, is run before a release; its figures go to docs/performance.md:
#   make gates   random histories and kills, a disk that fills up, memory under a limit, a session that grows, joins,
#                alarms

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

.PHONY: demo test check tests gates docs wheel venv clean

demo: $(VENV)/.installed
	@$(BIN)/python scripts/demo.py --cores $(JOBS)

test: check tests

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check -l 120 Snakefile rules
	$(BIN)/python docs/generate.py --check
	$(BIN)/vulture
	$(BIN)/python -m pytest -q --doctest-modules workflow tests/test_layers.py tests/test_house.py

tests: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

gates: $(VENV)/.installed
	$(BIN)/python tests/project/any_history.py --histories 300
	$(BIN)/python tests/workflow/random_kills.py --kills 200 --at-once $(JOBS)
	$(BIN)/python tests/workflow/full_disk.py --moments 10
	$(BIN)/python benchmarks/memory_limits.py
	$(BIN)/python benchmarks/watch_growth.py
	$(BIN)/python benchmarks/join.py
	$(BIN)/python benchmarks/healthy_movies.py

docs: $(VENV)/.installed
	$(BIN)/python docs/generate.py

wheel:
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@

clean:
	rm -rf demo build dist .pytest_cache .mypy_cache .ruff_cache
