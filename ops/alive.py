"""Output of programs: steps with their progress, duration and result, and paragraphs that are safe to print.

    python3 alive.py TITLE COMMAND [ARGUMENT...]

runs a command as a step, and prints its output only if it fails.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

BEAT_SECONDS = 1 if sys.stdout.isatty() else 15
# Makes cargo report its progress also into a pipe.
CARGO_PROGRESS = {"CARGO_TERM_PROGRESS_WHEN": "always", "CARGO_TERM_PROGRESS_WIDTH": "100"}


@contextmanager
def step(title):
    """Prints the progress and the result of the body of the `with`, as one step.

    Yields an object: its `detail` is printed as a part of the progress.
    """
    started = time.monotonic()
    done, about = threading.Event(), SimpleNamespace(detail="")

    def beat():
        start, end = ("\r\x1b[K", "") if sys.stdout.isatty() else ("", "\n")
        while not done.wait(BEAT_SECONDS):
            detail = f", {about.detail}" if about.detail else ""
            print(f"{start}… {title}: {time.monotonic() - started:.0f} s{detail}", end=end, flush=True)

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    mark = "✗"
    try:
        yield about
        mark = "✓"
    finally:
        done.set()
        heart.join()
        start = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{start}{mark} {title} ({time.monotonic() - started:.1f} s)", flush=True)


def follow(output, about):
    """Reads the output of a program to its end, and returns it. The progress of cargo becomes the detail of a step."""
    lines = []
    for line in output:
        if progress := re.search(r"Building \[.*\] (\d+)/(\d+)", line):
            about.detail = "crate {} of {}".format(*progress.groups())
        else:
            lines.append(line)
    return "".join(lines)


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


def end_as_by_ctrl_c():
    """Treats SIGTERM and SIGHUP as Ctrl-C, except if they are ignored, as under `nohup`."""
    for sign in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(sign) != signal.SIG_IGN:
            signal.signal(sign, signal.default_int_handler)


def main(title, *command):
    end_as_by_ctrl_c()
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        with step(title) as about:
            # Text mode also ends a line at the `\r` after each report of progress.
            with subprocess.Popen(
                command, env=os.environ | CARGO_PROGRESS, text=True, errors="replace", **pipes
            ) as child:
                try:
                    output = follow(child.stdout, about)
                except KeyboardInterrupt:
                    child.send_signal(signal.SIGINT)
                    child.communicate()  # until the child has cleaned up
                    raise
            if child.returncode:
                raise subprocess.CalledProcessError(child.returncode, command, output)
    except subprocess.CalledProcessError as failure:
        print(failure.output, file=sys.stderr)
        return failure.returncode
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
