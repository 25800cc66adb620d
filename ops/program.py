"""Paths, child processes, and the end of a program, for all programs here."""

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
    """What is missing or went wrong, in words for whoever started this."""


def run(program):
    """Runs a program to its end, and says in words what made it fail."""
    for sign in (signal.SIGTERM, signal.SIGHUP):  # to be told to stop, or to lose one's terminal, is to be interrupted
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
    """Starts a child in a process group of its own, which is told to stop when this process ends in any way."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_parent, **options
    )


def _end_with_parent():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def interrupt(process):
    """Ends a child that cleans up behind itself only when it is interrupted."""
    stop(process, signal.SIGINT)


def stop(process, *first):
    """Ends a child and everything that it started."""
    for sign in (*first, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


def free_port():
    """A free port that no outgoing connection takes meanwhile: one below those that systems give to them."""
    while True:
        port = random.randrange(20000, 32000)
        if not is_open(port):
            return port


def is_open(port):
    """Whether something listens on a port of this machine."""
    with socket.socket() as candidate:
        return not candidate.connect_ex((THIS_MACHINE, port))
