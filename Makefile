# Every target makes the environment that it needs. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 0
CASES ?= 100
STAMP := $(VENV)/.installed
SECOND ?= python3.13 python3.12
# What the tests without a model library import: torch alone would be 500 MB more.
LIGHT := huggingface_hub hypothesis jinja2 matplotlib numpy platformdirs plotext psutil pyarrow \
  pydantic pytest pytest-asyncio pytest-xdist pyyaml rapidfuzz rich scipy sqlalchemy syrupy \
  textual typer xxhash
LIGHT_TESTS := tests/core tests/storage tests/app/drafts tests/app/render tests/app/results \
  tests/app/tui/test_keys.py tests/app/tui/test_kinds.py
# A process a core, each with a thread; the tests of a file stay together and share what it builds.
SPREAD := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SPREAD)

.PHONY: demo test check second-python bench gpu models fuzz pictures clean

demo: $(STAMP)            ## the main job: build the demo family, analyse it, show and export the findings
	$(BIN)/tauscope demo --out demo-results

test: $(STAMP)            ## the tests
	$(PYTEST)

check: $(STAMP)           ## style, types, import rules and the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)

second-python:            ## the tests that need no model library, under the first Python of SECOND
	@for python in $(SECOND); do \
	  $$python -c "" 2>/dev/null || continue; \
	  echo "second-python: $$python"; \
	  $$python -m venv .venv-second && \
	  .venv-second/bin/python -m pip install --quiet --constraint requirements.lock $(LIGHT) && \
	  .venv-second/bin/python -m compileall -q core storage app tests && \
	  OMP_NUM_THREADS=1 .venv-second/bin/python -m pytest -p tests.without_torch $(SPREAD) $(LIGHT_TESTS); \
	  exit; \
	done; echo "second-python: skipped, for there is none of $(SECOND)."

bench: $(STAMP)           ## speed and memory, as ratios inside one run; kept in docs/benchmarks.md
	$(BIN)/python -m tests.benchmarks --write docs/benchmarks.md

gpu: $(STAMP)             ## the tests and benchmarks of cards on a real card; kept in docs/gpu.md
	$(BIN)/python -m tests.devices --write docs/gpu.md

models: $(STAMP)          ## every model type that transformers offers, examined; kept in docs/models.md
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.models --jobs 4 --write docs/models.md

fuzz: $(STAMP)            ## property tests on new examples; broken input, CASES of each kind from SEED on
	$(PYTEST) -m hypothesis --hypothesis-profile other --hypothesis-seed $(SEED)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --seed $(SEED) --cases $(CASES)

pictures: $(STAMP)        ## the pictures of the documents, from the demo's own run
	$(BIN)/python docs/pictures/make.py --to docs/pictures

clean:
	rm -rf $(VENV) .venv-second demo-results

# torch first and alone: a later resolution must not exchange it for another build.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
