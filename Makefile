# Two commands for a fresh machine with Python 3.11+, make and a C compiler:
#   make demo    offline, minutes: a sample WARC to shards, a report and a small model
#   make test    everything that CI runs
#   make engines brings Prism, Spark and Flink, for their part of the tests (needs Go and Maven)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo
# Ranks and engines take memory: about 5 GB for each of these processes.
TEST_PROCESSES ?= 2
# Of torch in each of them: more than there are cores only wait for each other.
TEST_THREADS ?= 1

# Where commands and tests look for engines, unless CORPUSMILL_ENGINES says otherwise.
CACHE := $(or $(CORPUSMILL_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/corpusmill)
ENGINES := $(or $(CORPUSMILL_ENGINES),$(CACHE)/engines)

.PHONY: demo test check engines format lock clean

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "corpusmill needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24" "setuptools>=77"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --config-settings editable_mode=compat --editable '.[pii,train]'
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --config-settings editable_mode=compat --editable '.[pii,gcp,train,hf,qlora,eval,dev]'
	touch $@

demo: $(VENV)/.core
	$(BIN)/corpusmill demo --output $(OUT)

# A file of tests stays in one process, with what its fixtures made. Engines have one of their own:
# their job servers stay until its end.
test: $(VENV)/.dev check
	OMP_NUM_THREADS=$(TEST_THREADS) $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --ignore=tests/engines
	$(BIN)/python -m pytest tests/engines

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

engines: $(VENV)/.core
	PYTHON=$(BIN)/python deploy/engines/fetch.sh $(ENGINES)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Resolve anew what pyproject.toml allows; review the difference before committing it.
lock: $(VENV)/.dev
	$(BIN)/python -m pip freeze --exclude-editable | grep -v '^pip==\|^setuptools==\| @ ' > constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
