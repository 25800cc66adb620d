#!/usr/bin/env bash
# Changes the pure modules in a copy, one place at a time, and counts the changes that no unit test detects. For one module:
# tests/mutants.sh --re src/schedule/window.rs
set -euo pipefail
cd "$(dirname "$0")/.."
version=27.1.0 least=95 tool=.cargo-tools/bin/cargo-mutants copy=target/mutants out=target/mutants.out

if [[ $("$tool" mutants --version 2> /dev/null || true) != "cargo-mutants $version" ]]; then
    cargo install --quiet --locked --root .cargo-tools --version "$version" cargo-mutants
fi
# Always in the same folder, so that its dependencies are built only once.
rm -rf "$copy"
mkdir -p "$copy"
cp -a .cargo Cargo.toml Cargo.lock README.md docs template.yaml src tests "$copy"
# Few generated inputs suffice to detect a change, and they need not be the shortest.
export CARGO_TARGET_DIR=$PWD/target CARGO_PROFILE_DEV_DEBUG=false PROPTEST_CASES=32 PROPTEST_MAX_SHRINK_ITERS=0
code=0
"$tool" mutants --dir "$copy" --in-place --output target --no-shuffle --colors never "$@" || code=$?
# 2 and 3: some were missed, some timed out.
((code == 0 || code == 2 || code == 3)) || exit "$code"
caught=$(cat "$out"/{caught,timeout}.txt | wc -l) missed=$(wc -l < "$out/missed.txt")
echo "$caught caught, $missed missed: $((caught * 100 / (caught + missed))) %, expected at least $least %"
((caught * 100 >= least * (caught + missed))) || { echo "0 passed, 1 failed"; exit 1; }
echo "1 passed, 0 failed"
