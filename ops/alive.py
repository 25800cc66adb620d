"""Output of programs: steps with their progress, duration and result, and paragraphs that are safe to print.

    python3 alive.py TITLE COMMAND [ARGUMENT...]

runs a command as a step, and prints its output only if it fails.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager

BEAT_SECONDS = 1 if sys.stdout.isatty() else 15


@contextmanager
def step(title):
    """Prints the progress and the result of the body of the `with`, as one step."""
    started = time.monotonic()
    done = threading.Event()

    def beat():
        start, end = ("\r", "") if sys.stdout.isatty() else ("", "\n")
        while not done.wait(BEAT_SECONDS):
            print(f"{start}… {title}: {time.monotonic() - started:.0f} s", end=end, flush=True)

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    mark = "✗"
    try:
        yield
        mark = "✓"
    finally:
        done.set()
        heart.join()
        start = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{start}{mark} {title} ({time.monotonic() - started:.1f} s)", flush=True)


def printable(text, kept=""):
    """Escapes the unprintable characters of a text, so that a key or a bucket name cannot control the terminal."""
    return "".join(
        letter if letter.isprintable() or letter in kept else letter.encode("unicode_escape").decode()
        for letter in text
    )


def show(title, *lines):
    """Prints a paragraph with a title."""
    print(f"\n{printable(title)}")
    for line in lines:
        print(f"    {printable(line)}".rstrip())


def rows(facts):
    """Returns lines of names and values, in two columns."""
    width = max(map(len, facts), default=0) + 2
    return [f"{name:<{width}}{value}" for name, value in facts.items()]


def is_redundant(line):
    """Returns whether a JSON line of the function's log has metrics, or repeats failures that have their own lines."""
    return "_aws" in line or str(line.get("message", "")).startswith('Diagnostic { error_type: "ReleaseFailed"')


def log_line(line):
    """Returns a JSON line of the function's log as lines of text."""
    framing = ("timestamp", "level", "target", "span")
    facts = {name: value for name, value in line.items() if name not in framing}
    facts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}
    return [f"{line.get('level', '')}  {line.get('timestamp', '')}", *(f"    {row}" for row in rows(facts))]


def main(title, *command):
    with tempfile.TemporaryFile() as output:
        try:
            with step(title):
                subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True)
        except subprocess.CalledProcessError as failure:
            output.seek(0)
            print(output.read().decode(errors="replace"), file=sys.stderr)
            return failure.returncode
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
