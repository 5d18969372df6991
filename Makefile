# One command a target; what it does lives in the command line. `make run`, then `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
# Else every process of the tests would compile what it imports: that takes longer than many a test.
unexport PYTHONDONTWRITEBYTECODE

run: .venv/.ready  ## simulate purchases, bring them to gold, audit
	$(BIN)/medallion run --targets
live: .venv/.ready-live  ## stream until Ctrl-C, with the dashboard on http://127.0.0.1:8501
	$(BIN)/medallion up --rate 1
setup: .venv/.ready-test  ## .venv with the medallion command, and all that the tests need
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-build-isolation -e .
	$(BIN)/python -c 'from medallion.cleaning.plain import load; load(print)'
	@touch $@
.venv/.ready-live: .venv/.ready requirements-dashboard.lock
	$(PIP) --require-hashes -r requirements-dashboard.lock
	@touch $@
.venv/.ready-test: .venv/.ready requirements-test.lock
	$(PIP) --no-compile --require-hashes -r requirements-test.lock
	@touch $@
test: setup  ## all tests, three files at a time
	$(BIN)/python -m pytest --quiet --numprocesses 3
chaos: setup  ## every byte flipped, every file cut, every command stopped at every step (hours)
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m tests.crashes
soak: setup  ## `up` killed again and again beside careless producers, a bad disk and a bad network
	$(BIN)/python -m tests.soak $(or $(MINUTES),10) $(SEED)
check: setup  ## format, lint, types, import law, docs; changes nothing
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/python -m pytest --quiet tests/test_house.py
bench: setup  ## the project beside its peers, into docs/benchmarks.md (20 minutes on two quiet cores)
	$(BIN)/python -m benchmarks.suite
site: setup  ## the documentation as a site in build/site, strictly
	$(BIN)/python docs/site.py
release: .venv/.ready  ## dist/ with the wheel of VERSION and its notes, from CHANGELOG.md
	@test "$(VERSION)" = "$$($(BIN)/medallion --version | cut -d' ' -f3)"
	rm -rf dist && $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	awk '/^## /{on = $$2 == "$(VERSION)"; next} on' CHANGELOG.md > dist/notes.md && test -s dist/notes.md
lock:  ## resolve the requirements anew (needs uv)
	uv pip compile pyproject.toml --extra setup $(LOCK) --no-emit-package pandas -o requirements.lock
	uv pip compile pyproject.toml --extra dashboard -c requirements.lock $(LOCK) -o requirements-dashboard.lock
	uv pip compile pyproject.toml --extra mcp -c requirements.lock $(LOCK) -o requirements-mcp.lock
	uv pip compile pyproject.toml --extra test -c requirements-mcp.lock -c requirements-dashboard.lock $(LOCK) -o requirements-test.lock
	for peer in dlt spark plots; do uv pip compile benchmarks/apart/$$peer.in $(LOCK) -o benchmarks/apart/$$peer.lock; done
LOCK := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet
.PHONY: run live setup test chaos soak check bench site release lock
