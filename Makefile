# make demo   a real call, end to end, on this machine: hear the echo, see the report
# make test   format, lint, types, tests (at most 10 minutes)
# make check  what takes longer: sanitizers, the demo and its failures, a ten-minute call, benchmarks
# make chaos  processes killed and frozen, stores taken away, clocks moved: a report in chaos-out/ (under an hour)
# make soak   the longest forms of tests, an hour
# make bench  every benchmark at full length, an hour; docs/benchmarks.md has the single commands
# make dev    call service, bot host, echo bot and console: talk to a bot in your browser
# make dist   an sdist and a manylinux wheel in dist/, tried on every CPython of this machine
# make docs   the pages and the API reference in site/, warnings are errors
# make fuzz   every parser of what far ends send, FUZZ_SECONDS each
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
INPUT    ?=
DURATION ?= 10
OUT      ?= demo-out
FUZZ_SECONDS ?= 300
# A machine others share may stop for a while under a call that is heard in real time: a second try, told in the summary.
AGAIN  := --reruns 1
NATIVE := $(wildcard native/*.c native/*.h)
# Running it needs a third of what the tests need; where theirs is, that is taken.
READY  := $(if $(wildcard $(VENV)/.installed),$(VENV)/.built,$(VENV)/.ready)

.PHONY: demo test check chaos lint types format unit native bench docs dev dist fuzz floors clean preflight long slow soak

demo: $(READY)
	$(BIN)/mixminus demo $(if $(INPUT),--input "$(INPUT)") --duration $(DURATION) --out "$(OUT)"

dev: $(READY)
	$(BIN)/mixminus dev $(if $(PORT),--port $(PORT)) $(if $(OPEN),--open)

dist: | preflight
	$(PYTHON) tests/dist/build.py

test: lint
	$(MAKE) --no-print-directory -j 2 types unit

lint: $(VENV)/.built
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.built
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.built
	$(BIN)/mypy media control tests benchmarks examples

unit: $(VENV)/.built
	$(BIN)/python -m pytest -m "not slow and not long and not soak and not alone" -n 3 --dist loadfile
	$(BIN)/python -m pytest -m "alone and not slow and not long and not soak" -n 2 --dist loadfile $(AGAIN)

check: $(VENV)/.built $(VENV)/.bench docs
	$(MAKE) --no-print-directory -j 2 -O long slow
	$(BIN)/python -m benchmarks mix
	$(BIN)/python -m benchmarks tick --no-legs --ticks 3000 --load nothing --load "4 busy Python threads"
	$(BIN)/python -m benchmarks pipeline
	$(BIN)/python -m benchmarks network --quick
	$(BIN)/python -m benchmarks density --quick --way rtp --way webrtc
	$(BIN)/python -m benchmarks delay --quick --way rtp --way echo
	$(BIN)/python -m benchmarks plugins --quick
	$(BIN)/python -m benchmarks links --quick
	$(BIN)/python -m benchmarks console --quick
	$(BIN)/python -m tests.chaos --quick --out chaos-out

# By the clock ten minutes, of the machine little: beside the tests that take the machine.
long: $(VENV)/.built
	$(BIN)/python -m pytest -m long

slow: $(VENV)/.built
	nice -n 10 $(BIN)/python -m pytest -m "slow and not alone and not long and not soak" -n 2 --dist loadfile $(AGAIN)
	$(BIN)/python -m pytest -m "slow and alone and not long and not soak" -n 2 --dist loadfile $(AGAIN)

chaos: $(VENV)/.built
	$(BIN)/python -m tests.chaos --out chaos-out

# The longest forms of tests: hours of recordings, days of drift, ten thousand joins under ThreadSanitizer.
soak: $(VENV)/.built $(VENV)/.bench
	$(BIN)/python -m pytest -m soak

bench: $(VENV)/.built $(VENV)/.bench
	for name in mix tick pipeline network density delay scale capacity plugins links store calls console; do $(BIN)/python -m benchmarks $$name || exit 1; done

docs: $(VENV)/.bench
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

fuzz: $(VENV)/.built
	MIXMINUS_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m tests.native.fuzz.run

# The tests with the lowest versions that pyproject.toml allows.
floors: | preflight
	$(PYTHON) -m venv .venv-floors
	$(PYTHON) tests/floors.py > .venv-floors/floors.txt
	.venv-floors/bin/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" -c .venv-floors/floors.txt
	.venv-floors/bin/python -m pytest -m "not slow and not long and not soak"

# After touching C: the extension alone, in under a second.
native: $(VENV)/.built

$(VENV)/.built: $(VENV)/.installed $(NATIVE)
	$(BIN)/python -W ignore -c "from setuptools import setup; setup()" -q build_ext --inplace
	@touch $@

$(VENV)/.ready: pyproject.toml $(NATIVE) | preflight
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed: pyproject.toml | preflight
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e ".[dev]" "setuptools>=77,<85"
	@touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,bench,contract,deploy,docs]" "setuptools>=77,<85"
	@touch $@ $(VENV)/.built

# The first line of a failed build names what is missing, with its Debian package.
preflight:
	@command -v $(PYTHON) >/dev/null || { echo "mixminus needs python3, 3.11 or newer: apt-get install python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mixminus needs python3, 3.11 or newer; $(PYTHON) is older: apt-get install python3, or make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "mixminus needs Python's venv: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || { echo "mixminus needs Python's headers (Python.h): apt-get install python3-dev" >&2; exit 1; }
	@command -v $${CC:-cc} >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || { echo "mixminus needs a C compiler: apt-get install gcc libc6-dev" >&2; exit 1; }
	@command -v git >/dev/null || { echo "mixminus needs git: apt-get install git" >&2; exit 1; }

clean:
	rm -rf $(VENV) .venv-floors build site demo-out chaos-out .mypy_cache .ruff_cache .pytest_cache .hypothesis media/_native*.so *.egg-info .src/*.egg-info
