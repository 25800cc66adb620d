#!/usr/bin/env bash
# Runs each target RUNS times, starting with its corpus. With KEEP=yes, the corpus becomes the hundred inputs, of old and new
# ones, that cover most code together. Inputs with a name of their own stay, too.
set -euo pipefail
cd "$(dirname "$0")"
runs=${RUNS:-100000} out=../../target/fuzz
[[ $runs =~ ^[1-9][0-9]*$ ]] || { echo "✗ RUNS is \`$runs\`, expected the number of runs of each target"; exit 1; }
[[ ${KEEP:-yes} == yes ]] || { echo "✗ KEEP is \`$KEEP\`, expected \`yes\`, or nothing to leave the corpus as it is"; exit 1; }

cargo build --quiet --release
passed=0 failed=0
for corpus in corpus/*; do
    export FUZZ_TARGET=${corpus#corpus/}
    found=$out/found/$FUZZ_TARGET log=$out/$FUZZ_TARGET.log
    mkdir -p "$found" "$out/crashes"
    fuzzer=(cargo run --quiet --release -- -artifact_prefix="$out/crashes/$FUZZ_TARGET-"
        -max_len=2048 -timeout=10 -rss_limit_mb=512)
    started=$SECONDS
    if "${fuzzer[@]}" -runs="$runs" -print_final_stats=1 "$found" "$corpus" > "$log" 2>&1; then
        stat() { sed -n "s/^stat::$1: *//p" "$log"; }
        echo "✓ $FUZZ_TARGET: $(stat number_of_executed_units) executions in $((SECONDS - started)) s," \
            "$(stat average_exec_per_sec) per second, at most $(stat peak_rss_mb) MB of memory"
        passed=$((passed + 1))
    else
        tail -n 40 "$log"
        echo "✗ $FUZZ_TARGET: see target/fuzz/$FUZZ_TARGET.log; the input is in target/fuzz/crashes"
        failed=$((failed + 1))
    fi
    if [[ ${KEEP:-} == yes ]]; then
        chosen=$(mktemp -d)
        "${fuzzer[@]}" -set_cover_merge=1 -use_counters=0 "$chosen" "$corpus" "$found" >> "$log" 2>&1
        find "$corpus" -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
        # In the order of choice: each input covers the most code that those before it do not.
        ls -tr "$chosen" | head -n 100 | xargs -I{} cp "$chosen/{}" "$corpus"
        rm -r "$chosen"
    fi
done
echo "$passed passed, $failed failed"
((failed == 0))
