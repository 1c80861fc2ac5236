# Every target does its own set-up. PYTHON chooses the interpreter, VENV the environment's folder.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The benchmarks' peers bring many packages along: an environment of their own, unless VENV says where.
BENCH_VENV := $(if $(filter command%,$(origin VENV)),$(VENV),.venv-bench)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

# The demo does every experiment in a small form; DEMO= does them in full.
DEMO ?= --limit 200 --pairs 80 --spans 1,3 --positions=-1 --attend-items 64 --control-items 120 \
  --control-pairs 40 --robust-items 60 --robust-pairs 24 --promote-items 40 --surgery-items 40 \
  --generate-prompts 1 --generate-texts 1 --generate-tokens 24 --generate-random 1

.PHONY: install demo test lint bench bench-probes bench-planted bench-appraisals bench-monitor clean
.DEFAULT_GOAL := install

## install: the package and its command `affectscope`, into $(VENV)
install: $(VENV)/.installed

## demo: the whole way on the default model and the embedded corpus; ends with the report's path
demo: $(VENV)/.installed
	$(BIN)/affectscope run --out runs/demo $(DEMO)

## test: lint, types, the import contract, all tests (files side by side, the long ones first)
test: lint
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## bench: affectscope and its peers on the same job; QUICK=1 takes minutes, ONLY=cpu,by_template some of
## it, CROWD_ENVENT=FOLDER its texts
bench:
	@$(MAKE) --no-print-directory VENV=$(BENCH_VENV) $(BENCH_VENV)/.installed-peers
	$(BENCH_VENV)/bin/python -m benchmarks.run $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) \
	  $(if $(CROWD_ENVENT),--data crowd-envent --data-path $(CROWD_ENVENT))

## bench-probes: probes solved together and one by one with scikit-learn; CROWD_ENVENT=FOLDER its texts
bench-probes: $(VENV)/.installed
	$(BIN)/python -m benchmarks.probes \
	  $(if $(CROWD_ENVENT),--data crowd-envent --data-path $(CROWD_ENVENT))

## bench-planted: what the experiments find in models whose truth is known, and in shuffled labels
bench-planted: $(VENV)/.installed
	$(BIN)/python -m benchmarks.planted

## bench-appraisals: promotion and surgery beside one full pass a question; CROWD_ENVENT=FOLDER its texts
bench-appraisals: $(VENV)/.installed
	$(BIN)/python -m benchmarks.appraisals \
	  $(if $(CROWD_ENVENT),--data crowd-envent --data-path $(CROWD_ENVENT),--data vignettes)

## bench-monitor: what monitoring costs a token, and its false alarms; CROWD_ENVENT=FOLDER its texts
bench-monitor: $(VENV)/.installed
	$(BIN)/python -m benchmarks.monitor $(if $(CROWD_ENVENT),--crowd-envent $(CROWD_ENVENT))

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "affectscope needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing affectscope into $(VENV) (some minutes the first time) ..." >&2
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the test tools into $(VENV) ..." >&2
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.installed-peers: $(VENV)/.installed benchmarks/constraints-peers.txt
	@echo "installing the peers into $(VENV) ..." >&2
	$(PIP) --constraint benchmarks/constraints-peers.txt transformer-lens nnsight
	@touch $@
