# make demo     the default experiment, from nothing to its report
# make test     all tests
# make test-fast  those that a change under way is checked with, in about a minute
# make promise  whether the results of `make demo` show what they are meant to show
# make lint     style, types, the workflow's own linter
# make install  only the environment, which the others make when they need it
# make browser  Chromium, in which tests open the report; `make test` does it where it can
# make clean    remove results and the environment

PYTHON ?= python3
CORES ?= 2

venv := .venv
bin := $(venv)/bin
# The lock's digest is in the stamp's name: a changed lock installs anew, a touched one does not.
digest = $(shell cat $(1) | cksum | cut -d' ' -f1)
env := $(venv)/matcg-$(call digest,requirements/cpu.lock pyproject.toml)
dev := $(venv)/matcg-dev-$(call digest,requirements/cpu.lock requirements/dev.lock pyproject.toml)

slurm := $(venv)/matcg-slurm-$(call digest,requirements/slurm.lock tests/slurm/install.sh)
executors := $(venv)/matcg-executors-$(call digest,requirements/executors.lock)

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore
# Images of containers set it; every process would then compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
pip = $(bin)/python -m pip install -qq --no-deps
locked = $(bin)/python requirements/install.py

define no_python
matcg needs Python 3.11 or newer; $(PYTHON) is older or missing. Name another: make PYTHON=python3.11
endef
define no_install
Installation failed. If pip finds no torch of version 2.13.0+cpu: this CPU build is not on PyPI. Set
PIP_EXTRA_INDEX_URL to PyTorch's wheel index for CPU builds and call make again.
endef
export no_install

# The tests of the report in a browser skip, with the reason, where there is none.
has_browser = command -v chromium >/dev/null && command -v chromedriver >/dev/null

.PHONY: demo smoke install browser test test-fast test-here test-slurm promise lint clean

demo: $(env)
	@$(bin)/snakemake --cores $(CORES) --logger matcg

# The default experiment in small: whether it runs, not what it finds.
smoke: $(env)
	@$(bin)/snakemake --cores $(CORES) --logger matcg --configfile tests/configs/smoke.yaml

install: $(env)

browser:
	@$(has_browser) || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && { \
		echo "Installing Debian's chromium and chromium-driver, in which tests open the report."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
			--no-install-recommends chromium chromium-driver >/dev/null 2>&1; }; } \
		|| echo "No chromium and chromedriver: the tests of the report in a browser are skipped." >&2

pytest = $(bin)/python -m pytest
# Files are shared out whole, since what a file's tests have in common is made once.
spread = -n $(CORES) --dist loadfile --no-loadscope-reorder

# Both at once, as Slurm's tests mostly wait; what these say is shown when they have ended. If one
# fails the other goes on to its end, and make fails.
test: $(dev) browser $(slurm) $(executors)
	@$(MAKE) --no-print-directory --keep-going -j 2 test-here test-slurm

test-fast: $(dev)
	@$(pytest) $(spread) -m 'not slow' tests/unit

test-here: $(dev) $(executors)
	@$(pytest) $(spread) tests/unit tests/workflow
	@PYTHONPATH=$(CURDIR)/$(venv)/executors $(pytest) tests/executors

test-slurm: $(slurm)
	@PYTHONPATH=$(CURDIR)/$(venv)/slurm-plugin $(pytest) tests/slurm >$(venv)/slurm.txt 2>&1; \
		status=$$?; echo; echo "tests/slurm"; cat $(venv)/slurm.txt; exit $$status

promise: $(dev)
	@$(bin)/python -m pytest tests/default
	@$(bin)/python tests/default/checked.py --write

lint: $(dev)
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/snakefmt --check Snakefile rules
	@$(bin)/snakemake --lint

clean:
	rm -rf results logs .snakemake $(venv) workflow/*.egg-info

$(env):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "$(strip $(no_python))" >&2; exit 1; }
	@echo "Installing the locked packages into $(venv), once; this takes some minutes."
	@test -x $(bin)/python || $(PYTHON) -m venv $(venv)
	@$(locked) requirements/cpu.lock || { printf '%s\n' "$$no_install" >&2; exit 1; }
	@$(pip) --no-build-isolation -e .
	@touch $@

$(dev): $(env)
	@echo "Installing the packages that tests and linters need."
	@$(locked) requirements/dev.lock || { printf '%s\n' "$$no_install" >&2; exit 1; }
	@touch $@

# What tests/slurm needs. The plugin in a folder of its own, since its presence slows every call of
# Snakemake; Slurm from Debian where that is possible, else those tests say why they were skipped.
$(slurm): $(dev)
	@grep '^snakemake-executor-plugin-slurm' requirements/slurm.lock > $(venv)/slurm-plugin.lock
	@$(locked) --target $(venv)/slurm-plugin $(venv)/slurm-plugin.lock
	@tests/slurm/install.sh
	@touch $@

# What tests/executors needs; likewise beside, for the same reason.
$(executors): $(dev)
	@$(locked) --target $(venv)/executors requirements/executors.lock
	@touch $@
