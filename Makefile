# Every target works from a fresh clone: .venv is made on first use from requirements.lock.
PY := .venv/bin/python

.PHONY: demo test lint bench conformance lock clean

demo: .venv/.installed
	@$(PY) -m aicore demo

# One worker a core; a worker that is done takes tests from the others.
test: .venv/.installed
	$(PY) -m pytest -n logical --maxprocesses 8 --dist worksteal

lint: .venv/.installed
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache

bench: .venv/.installed
	$(PY) bench/run.py
	$(PY) bench/business.py
	$(PY) bench/context.py
	$(PY) bench/tool_search.py
	$(PY) bench/memory_turn.py
	$(PY) bench/recall.py --entries 200000
	$(PY) bench/recall_eval.py
	$(PY) bench/router.py
	$(PY) bench/router_properties.py
	$(PY) bench/privacy.py

conformance: .venv/.installed
	$(PY) conformance/run.py

# Refresh the lock; needs `uv` on the PATH. The file names no index host.
lock:
	uv pip compile pyproject.toml --all-extras --group dev --universal --generate-hashes -o requirements.lock

.venv/.installed: requirements.lock pyproject.toml
	python3 -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	.venv/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
