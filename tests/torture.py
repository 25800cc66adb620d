"""Runs the parts of `make torture`, each a target of make, one after another.

The environment variable PARTS names the parts, with a space between; without it, all of them run. Prints the output of
each part, and the number of passed and failed checks in the last line.
"""

import os
import re
import subprocess
import sys
import time
from difflib import get_close_matches

PARTS = ("torture-faults", "torture-kill", "torture-soak", "torture-burst", "fuzz", "mutants")
SHORT = {part.rpartition("-")[2]: part for part in PARTS}
# The numbers of some parts, each with its minimum.
NUMBERS = {"SOAK": 100, "BURST": 1, "RUNS": 1, "SEED": 0}
COUNTS = re.compile(r"\b(\d+) passed[,;] (\d+) failed")


def run(part):
    """Runs a part and prints its output; returns its passed and failed checks. A failed part has a failed check."""
    passed = failed = 0
    # A part need not use every variable of `make torture`: they are passed in the environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", part]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if counts := COUNTS.search(line):
                passed, failed = map(int, counts.groups())
    return passed, failed or int(process.returncode != 0 or passed == 0)


def main():
    parts = (os.environ.get("PARTS") or " ".join(PARTS)).split()
    if unknown := [part for part in parts if part not in PARTS]:
        near = [found for part in unknown for found in get_close_matches(part.rpartition("-")[2], SHORT, 1, 0.5)]
        hint = f". Did you mean `{' '.join(SHORT[each] for each in near)}`?" if near else ""
        sys.exit(f"✗ PARTS has {', '.join(map(ascii, unknown))}, expected some of: {' '.join(PARTS)}{hint}")
    for name, least in NUMBERS.items():
        value = os.environ.get(name) or str(least)
        if not value.isdecimal() or int(value) < least:
            sys.exit(f"✗ {name} is {value!a}, expected a number from {least}")
    summary = []
    for part in parts:
        started = time.monotonic()
        passed, failed = run(part)
        summary.append((part, passed, failed, (time.monotonic() - started) / 60))
    print()
    for part, passed, failed, minutes in summary:
        print(f"{part:<16}{passed:>6} passed{failed:>6} failed  in {minutes:.0f} min")
    passed, failed = (sum(each[at] for each in summary) for at in (1, 2))
    print(f"\n{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
