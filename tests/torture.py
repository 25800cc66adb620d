"""Runs the parts of `make torture`, each a target of make, one after another.

The environment variable PARTS names the parts, with a space between; without it, all of them run. Prints the output of
each part, and the number of passed and failed checks in the last line.
"""

import os
import re
import subprocess
import sys
import time

PARTS = ("torture-faults", "torture-kill", "torture-soak", "torture-burst", "fuzz", "mutants")
COUNTS = re.compile(r"\b(\d+) passed[,;] (\d+) failed")


def run(part):
    """Runs a part and prints its output; returns its passed and failed checks. A failed part has a failed check."""
    passed = failed = 0
    with subprocess.Popen(["make", "--no-print-directory", part], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if counts := COUNTS.search(line):
                passed, failed = map(int, counts.groups())
    return passed, failed or int(process.returncode != 0 or passed == 0)


def main():
    parts = (os.environ.get("PARTS") or " ".join(PARTS)).split()
    if unknown := [part for part in parts if part not in PARTS]:
        sys.exit(f"✗ PARTS has {', '.join(map(ascii, unknown))}, expected some of: {' '.join(PARTS)}")
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
