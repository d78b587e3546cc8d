# Works with GNU make 3.81 and newer; every command runs in this directory, whatever directory `make -C` was called from.
PY := .venv/bin/python
STAMP := .venv/.installed
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint soak docker-demo docker-test bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv with everything in it (a minute or two the first time; PYTHON=... chooses the Python)
	@echo "ready: .venv, $$($(PY) --version)"

demo: $(STAMP) ## a node against an exchange on this machine: no key, no account, no network
	@$(PY) -m examples.demo

test: lint ## lint, type check, then every test with the coverage of config/ (at least 90 %)
	@echo "== pytest"
	@$(PY) -m coverage erase
	@$(PY) -m pytest --numprocesses=auto --dist=loadfile --cov --cov-report=term --cov-fail-under=90

lint: $(STAMP) ## ruff, ruff format --check, mypy --strict
	@echo "== ruff check"
	@$(PY) -m ruff check --quiet .
	@echo "== ruff format --check"
	@$(PY) -m ruff format --check --quiet . || { echo "not formatted: see the files with '.venv/bin/ruff format --diff .', correct them without --diff"; exit 1; }
	@echo "== mypy"
	@$(PY) -m mypy --no-error-summary

soak: $(STAMP) ## what takes hours: the fault matrix ten times, Redis frozen for a minute, 200 kills under order flow
	@for turn in 1 2 3 4 5 6 7 8 9 10; do \
		echo "== fault matrix, $$turn of 10"; \
		SOAK=1 $(PY) -m pytest -q tests/integration/test_fault_matrix.py || exit 1; \
	done
	@echo "== Redis frozen"
	@SOAK=1 $(PY) -m pytest -q tests/integration/test_redis_pause.py
	@echo "== 200 kills"
	@$(PY) -m tests.soak --kills 200

docker-demo: $(STAMP) ## the same in containers: Redis, an exchange and a node, a crash and a clean stop; nothing is left behind
	@$(PY) -m examples.docker_demo

docker-test: $(STAMP) ## the image and the stacks against a real engine, with their faults (ENGINE_RESTART=... restarts it, too)
	@docker version --format . >/dev/null 2>&1 || { \
		echo "no Docker engine answers here: install Docker Engine 25 or newer with Compose 2.24.4 or newer, and start it" >&2; exit 2; }
	@$(PY) -m pytest --durations=5 tests/containers

bench: $(STAMP) ## measure what the README claims
	@$(PY) -m benchmarks

# Both locks hold the same versions: the second is compiled with the first as its constraint. UPGRADE=1 takes new versions.
COMPILE = PATH="$$PATH:.venv/bin" uv --no-config pip compile pyproject.toml --quiet --universal --python-version 3.12 \
	--generate-hashes --only-binary :all: --custom-compile-command "make lock"

lock: ## pin the dependencies again, with hashes (needs uv; UPGRADE=1 takes newer versions)
	@PATH="$$PATH:.venv/bin" command -v uv >/dev/null || { echo "uv is needed: pip install uv"; exit 1; }
	@echo "== requirements-dev.lock"
	@$(COMPILE) --extra dev $(if $(UPGRADE),--upgrade) --output-file requirements-dev.lock >/dev/null
	@echo "== requirements.lock"
	@$(COMPILE) --constraint requirements-dev.lock --output-file requirements.lock >/dev/null

clean: ## remove what tests, builds and tools left; .venv stays
	@rm -rf .coverage .coverage.* htmlcov coverage.xml .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# The interpreter is a prerequisite so that a .venv whose Python has gone (a dangling link) is made anew.
$(STAMP): requirements-dev.lock pyproject.toml $(PY)
	@sh scripts/setup
	@touch $@

$(PY): ;
