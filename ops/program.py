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

from alive import end_as_by_ctrl_c, printable

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
VENV = ROOT / ".venv"
KEPT = ROOT / ".local-cloud"

THIS_MACHINE = "127.0.0.1"


class Failed(Exception):
    """A problem that the user can fix, with a message for the user."""

    EXIT_CODE = 1


class Rejected(Failed):
    """A release that the function rejects. The exit code differs from that of a failure."""

    EXIT_CODE = 3


def is_yes(name, otherwise):
    """Returns whether an environment variable is `yes`. Fails if it has another value."""
    if (value := os.environ.get(name) or "") not in ("", "yes"):
        raise Failed(f"{name} is `{value}`, expected `yes`, or nothing to {otherwise}")
    return value == "yes"


def typed(question):
    """Returns the answer of the user; empty at the end of the input."""
    try:
        return input(question)
    except EOFError:
        return ""
    finally:
        if not sys.stdin.isatty():  # no line break was typed
            print()


def run(program):
    """Runs a program and exits, with the message of a failure."""
    sys.unraisablehook = _repeat_interrupt
    for sign in (signal.SIGINT, signal.SIGALRM):
        signal.signal(sign, signal.default_int_handler)
    end_as_by_ctrl_c()
    try:
        code = program()
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:  # such as `make logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (Failed, OSError, UnicodeEncodeError) as why:
        sys.stdout.flush()
        if isinstance(why, UnicodeEncodeError):
            why = f"expected UTF-8 instead of {why.object!r}"
        print(printable(f"✗ {why}", kept="\n\t"), file=sys.stderr)
        sys.exit(getattr(why, "EXIT_CODE", Failed.EXIT_CODE))
    except Exception as why:
        if not type(why).__module__.startswith("botocore."):
            raise
        sys.stdout.flush()
        sys.exit(printable(f"✗ {' '.join(str(why).split())}"))
    except KeyboardInterrupt:
        sys.exit(130)


def _repeat_interrupt(ignored):
    """Repeats Ctrl-C that came in a callback, such as those of a fork, where Python ignores exceptions."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # not now, while Python still ignores it
    else:
        sys.__unraisablehook__(ignored)


def output_of(*command):
    """Runs a command; returns its standard output."""
    process = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if process.returncode:
        raise Failed(f"{' '.join(map(str, command))} failed:\n{process.stderr}")
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
