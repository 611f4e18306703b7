# `make help` lists what this does. Everything is installed in .venv (and .venv-kinect, .venv-lerobot), and nothing outside the checkout is written.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help env env-test env-kinect env-lerobot demo policy test lint format clean lock same-ros

PYTHON ?= python3
TORCH ?= 2.13.0# the version to test with; 0 leaves torch out, and with it networks/ and training/
PYTEST_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
KINECT := .venv-kinect
LEROBOT := .venv-lerobot
export OMP_NUM_THREADS ?= 1
export PIP_CACHE_DIR ?= $(CURDIR)/build/cache/pip
export UV_CACHE_DIR ?= $(CURDIR)/build/cache/uv

# A machine with ROS brings its own rclpy. A machine without gets the wheels. Never both: the loader
# would mix two installations of the same libraries, differently at each start.
ROS := $(shell if [ -n "$${ROS_DISTRO:-}" ] || $(PYTHON) -c 'import rclpy' 2>/dev/null; then echo system; else echo wheels; fi)
ifeq ($(ROS),wheels)
unexport PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH RMW_IMPLEMENTATION
VENV_FLAGS :=
else
VENV_FLAGS := --system-site-packages
endif

PIP := $(BIN)/python -m pip --disable-pip-version-check
# A lock is complete, so nothing is left to resolve. One package, empy, comes as source: the locked setuptools builds it.
FROM_LOCK := install --require-hashes --no-deps --no-build-isolation --use-pep517
LOCKED := $(PIP) $(FROM_LOCK)
KINECT_PIP := $(KINECT)/bin/python -m pip --disable-pip-version-check
LEROBOT_PIP := $(LEROBOT)/bin/python -m pip --disable-pip-version-check

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

env: $(VENV)/.installed ## create .venv with all that the demo and the service need

env-test: $(VENV)/.installed-test ## add what the tests and training need to .venv

env-kinect: $(KINECT)/.installed ## create .venv-kinect, where the Azure Kinect's camera node runs (docs/cameras.md)

env-lerobot: $(LEROBOT)/.installed ## create .venv-lerobot, with which the tests read our datasets as LeRobot itself does

demo: env ## run the service in the twin
	$(BIN)/vla-ros demo

# Each stage goes on where it was interrupted; a stage that is done is not done again.
policy: env-test ## make models/demo from nothing: demonstrations, training, export, evaluation (about 35 minutes)
	[ -e data/demos.done ] || $(BIN)/vla-ros demos --output data/demos --seeds 0:1000
	touch data/demos.done
	$(BIN)/vla-ros train data/demos --output data/train --steps 1500 --resume
	$(BIN)/vla-ros policy export data/train/checkpoint.pt models/demo
	$(BIN)/vla-ros eval --policy models/demo --seeds 1000000:1000200 --record --json data/eval.json

test: env-test lint ## run the linters and all tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: env-test ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env-test ## correct the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) $(KINECT) $(LEROBOT) build install log dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || {
		echo "vla_ros needs Python 3.10, 3.11 or 3.12, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2
		echo "Name another: make PYTHON=python3.12 env" >&2
		exit 1
	}
	if [ $(ROS) = system ] && ! $(PYTHON) -c 'import rclpy'; then
		echo "ROS $${ROS_DISTRO:-} is sourced, but $(PYTHON) cannot import its rclpy: name the Python that ROS was" >&2
		echo "built for (make PYTHON=/usr/bin/python3 env), or use a shell without ROS." >&2
		exit 1
	fi
	echo "== $(VENV) from $$($(PYTHON) --version), ROS: $(ROS)"
	$(PYTHON) -m venv $(VENV_FLAGS) $(VENV) || { rm -rf $(VENV); echo "On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	echo $(ROS) > $@

same-ros: $(VENV)/.created
	@if [ "$$(cat $(VENV)/.created)" != $(ROS) ]; then
		echo "$(VENV) was made for ROS from '$$(cat $(VENV)/.created)', but this shell offers '$(ROS)'." >&2
		echo "Use a shell like the one it was made in, or start over: make clean env" >&2
		exit 1
	fi

$(VENV)/.locked: $(VENV)/.created requirements/demo.lock requirements/ros-jazzy.lock | same-ros
	@echo "== 1 of 3: what the project needs (about 160 MB to download)"
	$(LOCKED) -r requirements/demo.lock
	if [ $(ROS) = wheels ]; then
		echo "== 2 of 3: ROS 2 Jazzy from wheels, since no ROS is sourced (about 45 MB)"
		$(LOCKED) -r requirements/ros-jazzy.lock
	else
		echo "== 2 of 3: ROS is taken from this machine ($${ROS_DISTRO:-found by $(PYTHON)})"
	fi
	touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml setup.py setup.cfg package.xml
	@echo "== 3 of 3: the project itself, editable"
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements/test.lock requirements/train.lock
	@echo "== for the tests and training"
	$(LOCKED) -r requirements/test.lock -r requirements/train.lock
	if [ "$(TORCH)" != 0 ]; then $(PIP) install "torch==$(TORCH)"; fi
	if lacks=$$($(PYTHON) -c "$$KINECT_LACKS"); then
		$(MAKE) --no-print-directory env-kinect || echo "== $(KINECT) could not be made: the tests of the Azure Kinect are left out"
	else
		echo "== no $(KINECT), and the tests of the Azure Kinect are left out: $$lacks"
	fi
	if [ "$(TORCH)" != 0 ]; then
		$(MAKE) --no-print-directory env-lerobot || echo "== $(LEROBOT) could not be made: the tests with LeRobot itself are left out"
	else
		echo "== no $(LEROBOT), and the tests with LeRobot itself are left out: it needs torch (TORCH=0)"
	fi
	touch $@

# The SDK of the Azure Kinect is built for numpy 1: an environment of its own, with what its camera node needs and nothing else.
define KINECT_LACKS
import platform, sys
library, version = platform.libc_ver()
if platform.machine() != "x86_64" or library != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 35):
    print("the SDK has wheels for x86_64 and glibc 2.35 or later, this is", platform.machine(), "and", library or "no glibc", version)
    sys.exit(1)
endef
export KINECT_LACKS

$(KINECT)/.installed: $(VENV)/.created requirements/kinect.lock requirements/ros-jazzy.lock pyproject.toml setup.py setup.cfg package.xml | same-ros
	@lacks=$$($(PYTHON) -c "$$KINECT_LACKS") || { echo "$(KINECT) cannot be made: $$lacks" >&2; exit 1; }
	echo "== $(KINECT), for the Azure Kinect's camera node (about 80 MB to download)"
	[ -x $(KINECT)/bin/python ] || $(PYTHON) -m venv $(VENV_FLAGS) $(KINECT)
	$(KINECT_PIP) $(FROM_LOCK) -r requirements/kinect.lock
	if [ $(ROS) = wheels ]; then $(KINECT_PIP) $(FROM_LOCK) -r requirements/ros-jazzy.lock; fi
	$(KINECT_PIP) install --no-deps --no-build-isolation --editable .
	touch $@

# LeRobot holds back numpy, PyAV and more, and pulls in torch's CUDA: an environment of its own, with what its datasets import and nothing else.
# Its torchvision asks for an older torch; the tests get along with ours.
$(LEROBOT)/.installed: requirements/lerobot.lock | $(VENV)/.created
	@if [ "$(TORCH)" = 0 ]; then echo "$(LEROBOT) cannot be made: LeRobot needs torch, and TORCH is 0" >&2; exit 1; fi
	echo "== $(LEROBOT), for the tests with LeRobot itself (about 140 MB to download, and torch)"
	[ -x $(LEROBOT)/bin/python ] || $(PYTHON) -m venv $(LEROBOT)
	$(LEROBOT_PIP) $(FROM_LOCK) -r requirements/lerobot.lock
	$(LEROBOT_PIP) install --no-warn-conflicts "torch==$(TORCH)"
	touch $@

# uv resolves for every Python and platform at once. No index is named in what it writes.
UV := build/lock-venv/bin/uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --no-header \
	--no-strip-extras --no-emit-index-url --upgrade

lock: ## resolve the requirements again and write the locks
	$(PYTHON) -m venv build/lock-venv
	build/lock-venv/bin/python -m pip install --quiet uv
	$(COMPILE) --no-deps requirements/ros-jazzy.in -o requirements/ros-jazzy.lock
	$(COMPILE) -c requirements/ros-jazzy.in pyproject.toml requirements/demo.in -o requirements/demo.lock
	$(COMPILE) -c requirements/demo.lock requirements/train.in -o requirements/train.lock
	$(COMPILE) -c requirements/demo.lock -c requirements/train.lock -c requirements/ros-jazzy.in \
		--extra test pyproject.toml requirements/demo.in -o requirements/test.lock
	$(COMPILE) -c requirements/ros-jazzy.in requirements/kinect.in -o requirements/kinect.lock
	$(COMPILE) --override requirements/lerobot.without requirements/lerobot.in -o requirements/lerobot.lock
