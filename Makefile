.PHONY: check format lint types contracts test test-all

# Every process that tests start would compile torch and transformers again.
unexport PYTHONDONTWRITEBYTECODE

# Everything CI runs, in its order.
check: format lint types contracts test-all

format:
	uv run ruff format --check .

lint:
	uv run ruff check .

types:
	uv run pyright

contracts:
	uv run lint-imports

# Quick: what a change is developed against.
test:
	uv run pytest -q -m "not slow"

test-all:
	uv run pytest -q
