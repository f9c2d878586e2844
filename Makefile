# Two commands on a fresh machine: `make demo` and `make test`. Both install what they need first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PEERS  := build/peers

.PHONY: install demo test lint bench bench-peers mutation clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fast,grid,sim,train,hardware,dev]'
	touch $(STAMP)

demo: install
	$(BIN)/nerfbot demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n 2 --dist worksteal

bench: install
	$(BIN)/nerfbot bench limits
	$(BIN)/nerfbot bench sim
	$(BIN)/nerfbot bench grid
	$(BIN)/nerfbot bench learn

# Peers that benchmarks run beside ours, in an environment of their own: JAX and others would collide with ours.
bench-peers: $(PEERS)/.installed

$(PEERS)/.installed: Makefile
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	for peer in minigrid envpool navix xminigrid; do \
		$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $$peer \
			|| echo "bench-peers: $$peer cannot be had here; its figures will be missing"; \
	done
	touch $@

# A seeded sample of mutants; half an hour or more, goes on where it was cut off.
mutation: install
	$(BIN)/python benchmarks/mutation.py nerfbot/limits:tests/limits nerfbot/powers:tests/powers --sample 300

clean:
	rm -rf $(VENV) build install log *.egg-info
