# Everything that is done more than once. `make help` lists it; CI runs the same.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup media demo test check e2e bench golden run lock clean

# Whoever sets it would have each of the tests' processes compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
MEDIA := .cache/images
LIVE := $(MEDIA)/live-x86_64/image.json
DEBIAN := $(MEDIA)/debian-12-x86_64/image.json
INSTALLER := $(MEDIA)/debian-installer-12-x86_64/image.json
LOADERS := $(MEDIA)/loaders/image.json

# How many fast tests at a time, which wait more than they work; and how many machines in QEMU.
JOBS ?= 4
MACHINES ?= 2
PYTEST := $(BIN)/pytest --dist worksteal
# The demo's firmware, bios or uefi; what it installs, debian-12-image or debian-12; and whether service and machine stay up until Ctrl-C.
FIRMWARE ?= bios
PROFILE ?= debian-12-image
KEEP ?=

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## system packages (as root) and .venv; the second time there is nothing to do
	@setup/packages
	@setup/venv

media: setup $(LIVE) $(DEBIAN) $(INSTALLER) $(LOADERS)  ## build or fetch what machines boot, as root, when missing or old

$(LOADERS): deployer/media/boot_iso.py
$(LIVE): $(filter-out %.md,$(wildcard live/*))
$(LIVE) $(DEBIAN) $(LOADERS): $(wildcard deployer/media/build/*.py) | setup
	$(BIN)/deployer image build $(patsubst %-x86_64,%,$(notdir $(@D))) --dir $(@D)

$(INSTALLER): deployer/media/build/debian_installer.py | setup
	$(BIN)/deployer image add debian-12 --dir $(@D)

demo: media  ## a real Debian in a QEMU machine [FIRMWARE=uefi] [PROFILE=debian-12] [KEEP=1: stays on]
	@$(BIN)/python -m lab.demo --firmware $(FIRMWARE) --profile $(PROFILE) $(if $(KEEP),--keep)

test: media  ## all tests but the longest journeys
	@$(PYTEST) -n $(JOBS) -m "not qemu and not e2e"
	@$(PYTEST) -n $(MACHINES) -m "qemu and not e2e"

# They compute more than they wait, and each worker first collects them all.
check: JOBS := 3
check: setup  ## format, lint, types, shell scripts, fast tests: two minutes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	shellcheck $$(grep -lE '^#!/.*sh$$' live/* setup/* .ci/*)
	$(PYTEST) -n $(JOBS) -m "not slow and not qemu and not e2e"

e2e: media  ## the longest journeys, on real machines in QEMU
	@$(PYTEST) -n $(MACHINES) -m e2e

bench: media  ## benchmarks, ten minutes; writes docs/performance.md [QUICK=1] [PEERS=file.toml]
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(PEERS),--peers $(PEERS))

golden: setup  ## rewrite golden files and generated documentation; then read the diff
	$(BIN)/python -m tests.golden
	$(BIN)/python -m lab.docs

# The data is kept in .demo/run, apart from that of a service that runs here for real.
run: export DEPLOYER_DATA_DIR = .demo/run
run: export DEPLOYER_MACHINE_LISTEN = 127.0.0.1:8081
run: export DEPLOYER_LOG_FORMAT = text
run: setup  ## a service to try things on, at http://127.0.0.1:8080
	@echo 'In another shell:'
	@echo '  export DEPLOYER_TOKEN=$$(DEPLOYER_DATA_DIR=.demo/run $(BIN)/deployer token create --name me --role admin)'
	@$(BIN)/deployer serve

lock: setup  ## requirements.lock from pyproject.toml [UPGRADE=1: the newest versions]
	setup/lock $(if $(UPGRADE),--upgrade)

clean:  ## remove all that was made here, .venv and images too
	rm -rf .venv .cache .demo dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
