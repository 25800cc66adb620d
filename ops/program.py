"""Paths, child processes and exit codes of all programs in this folder."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from alive import printable

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
VENV = ROOT / ".venv"
KEPT = ROOT / ".local-cloud"

THIS_MACHINE = "127.0.0.1"


class Failed(Exception):
    """A problem that the user can fix, with a message for the user."""


def run(program):
    """Runs a program and exits, with the message of a failure."""
    for sign in (signal.SIGTERM, signal.SIGHUP):  # treated as Ctrl-C
        signal.signal(sign, signal.default_int_handler)
    try:
        sys.exit(program())
    except Failed as why:
        sys.exit(printable(f"✗ {why}", kept="\n\t"))
    except KeyboardInterrupt:
        sys.exit(130)


def output_of(*command):
    """Runs a command; returns its standard output."""
    process = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if process.returncode:
        raise Failed(f"{' '.join(command)} failed:\n{process.stderr}")
    return process.stdout


def spawn(command, **options):
    """Starts a child in its own process group. The child is interrupted when this process ends in any way."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_parent, **options
    )


def _end_with_parent():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def interrupt(process):
    """Stops a child that cleans up only when it is interrupted."""
    stop(process, signal.SIGINT)


def stop(process, *first):
    """Stops a child and all processes that it started."""
    for sign in (*first, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


def free_port():
    """Returns a free port, in a range that outgoing connections do not use."""
    while True:
        port = random.randrange(20000, 32000)
        if not is_open(port):
            return port


def is_open(port):
    """Returns whether a process listens on a port of this machine."""
    with socket.socket() as candidate:
        return not candidate.connect_ex((THIS_MACHINE, port))
