# Two commands do everything on a machine with Python 3.11 or newer:
#   make demo    a simulated data set through the whole chain, from movies to a sharpened map
#   make test    every check and test
# and one more makes what others install:
#   make wheel   dist/cryosnake-*.whl, the package with the workflow in it
# What takes too long for every change, an hour or two, is run before a release; its figures go to docs/performance.md:
#   make gates   random histories and kills, a disk that fills up, memory under a limit, a session that grows, joins,
#                alarms, a refinement of box 256, aberrations, learned picking (MOSAICS=folder of real micrographs,
#                PARTICLES=refined particles of these), defaults of CTF and picking, classes in 3D from the consensus,
#                preferred views (SIMULATOR=folder of sim.py), junk among picks (the same, DATA=folder of real data
#                sets), and CtfRefine, Polish and Subtract from movies, beside RELION.
#                make gates NAME ... for some of them:
#                histories kills disk memory growth joins alarms box256 aberrations trained ctf_picking conformations
#                junk preferred full_resolution

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

GATES := histories kills disk memory growth joins alarms box256 aberrations trained ctf_picking conformations junk \
         preferred full_resolution

.PHONY: demo test check tests gates $(GATES) docs wheel venv clean

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

gates: $(or $(filter $(GATES),$(MAKECMDGOALS)),$(GATES))

histories: $(VENV)/.installed
	$(BIN)/python tests/project/any_history.py --histories 300

kills: $(VENV)/.installed
	$(BIN)/python tests/workflow/random_kills.py --kills 200 --at-once $(JOBS)

disk: $(VENV)/.installed
	$(BIN)/python tests/workflow/full_disk.py --moments 10

memory: $(VENV)/.installed
	$(BIN)/python benchmarks/memory_limits.py

growth: $(VENV)/.installed
	$(BIN)/python benchmarks/watch_growth.py

joins: $(VENV)/.installed
	$(BIN)/python benchmarks/join.py

alarms: $(VENV)/.installed
	$(BIN)/python benchmarks/healthy_movies.py

box256: $(VENV)/.installed
	$(BIN)/python benchmarks/refine_box256.py --cores $(JOBS)

aberrations: $(VENV)/.installed
	$(BIN)/python benchmarks/aberrations.py

trained: $(VENV)/.installed
	$(BIN)/python benchmarks/trained_picking.py $(addprefix --mosaics ,$(MOSAICS)) $(addprefix --particles ,$(PARTICLES))

conformations: $(VENV)/.installed
	$(if $(SIMULATOR),$(BIN)/python benchmarks/conformations.py --simulator $(SIMULATOR) --cores $(JOBS),\
		@echo "conformations needs SIMULATOR=folder of sim.py: left out")

ctf_picking: $(VENV)/.installed
	$(if $(SIMULATOR),$(BIN)/python benchmarks/ctf_picking.py --simulator $(SIMULATOR) --cores $(JOBS),\
		@echo "ctf_picking needs SIMULATOR=folder of sim.py: left out")

junk: $(VENV)/.installed
	$(BIN)/python benchmarks/junk.py $(addprefix --data ,$(DATA)) $(addprefix --simulator ,$(SIMULATOR)) --cores $(JOBS)

preferred: $(VENV)/.installed
	$(if $(SIMULATOR),$(BIN)/python benchmarks/preferred_views.py --simulator $(SIMULATOR) --cores $(JOBS),\
		@echo "preferred needs SIMULATOR=folder of sim.py: left out")

full_resolution: $(VENV)/.installed
	$(BIN)/python benchmarks/full_resolution.py --cores $(JOBS)

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
