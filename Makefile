# `make demo` shows the framework at work, `make test` checks everything. Each sets up what it needs in .venv.

PYTHON ?= python3
BIN := .venv/bin
NEEDS := setup.py requirements.txt pyproject.toml .ci/setup.sh

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint faults faults-long faults-nameko soak clean

demo: export GREENMICRO_AMQP_URI ?= memory://
demo: .venv/demo-ready
	@$(BIN)/python examples/quickstart/main.py

test: .venv/test-ready lint
	@.ci/setup.sh rabbitmq
	$(BIN)/python -m pytest --cov --cov-config=.ci/coverage.ini --cov-report=term-missing:skip-covered

lint: .venv/test-ready
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# Every fault in every mode on both queue types, which takes long: make faults ROWS=N1,B1 MODES=thread SEED=2
faults: .venv/test-ready
	@.ci/setup.sh rabbitmq
	$(BIN)/python -m tests.faults --rows '$(ROWS)' --modes '$(MODES)' --seed $(or $(SEED),1) $(OPTIONS)

# N messages a cell, once with each seed: make faults-long ROWS=N1,B1 MODES=thread SEEDS=1-20 N=20000
faults-long: .venv/test-ready
	@.ci/setup.sh rabbitmq
	$(BIN)/python -m tests.faults --long --rows '$(ROWS)' --modes '$(MODES)' --seeds '$(or $(SEEDS),1-20)' \
		--count $(or $(N),20000) $(OPTIONS)

# The rows that other frameworks are tried in, nameko beside ours; it is installed under build/.
faults-nameko: .venv/test-ready
	@.ci/setup.sh rabbitmq
	$(BIN)/python -m tests.faults --rows N1,B1,L1,T1 --frameworks greenmicro,nameko --seed $(or $(SEED),1) $(OPTIONS)

# A random row every 20 s on one service under load: make soak MINUTES=120 SEED=1 MODE=process
soak: .venv/test-ready
	@.ci/setup.sh rabbitmq
	$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),120) --seed $(or $(SEED),1) \
		--mode $(or $(MODE),thread) $(OPTIONS)

clean:
	rm -rf .venv build dist *.egg-info .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: nothing is installed again until what they depend on changes.
.venv/demo-ready: $(NEEDS)
	@PYTHON='$(PYTHON)' .ci/setup.sh package .
	@touch $@

.venv/test-ready: $(NEEDS)
	@PYTHON='$(PYTHON)' .ci/setup.sh package '.[test]'
	@touch $@ .venv/demo-ready
