"""The state of `make watch` in a file, for replays in other terminals."""

import json
import os
import re
import time
from urllib.parse import urlsplit

from program import KEPT, ROOT, Failed, is_open

WATCHED = KEPT / "watch.json"
# In seconds, from a change of src to the build of `cargo lambda watch`.
MAX_DELAY = 5
COLORS = re.compile(r"\x1b\[[0-9;]*m")
STARTS = re.compile(r" *(?:Blocking waiting|Compiling|Checking|Finished) ")
FAILS = re.compile(r"error: (?:could not compile|failed to)|Caused by:")


class Builds:
    """Reads the output of `cargo lambda watch`, and writes the state of the build to the file."""

    def __init__(self, about):
        self.about, self.lines = about, []
        KEPT.mkdir(exist_ok=True)
        self.write()

    def write(self, **build):
        """Writes the state of the build; without it, the build waits for the first event."""
        self.build = build
        scratch = WATCHED.with_suffix(".new")
        scratch.write_text(json.dumps(self.about | {"build": build}))
        scratch.replace(WATCHED)

    def read(self, line):
        """Reads a line; returns whether users should see it."""
        plain = COLORS.sub("", line)
        if "concurrency-tokio" in plain:  # the function processes one event at a time, as in AWS
            return False
        # A change during a build starts the build again.
        if STARTS.match(plain) and (self.build.get("is_done", True) or "Compiling ota-on-upload " in plain):
            self.lines = []
            self.write(since=time.time(), is_done=False)
        if self.lines or plain.startswith("error"):
            self.lines.append(plain)
        if re.match(r" *Finished ", plain):
            self.lines = []
            self.write(**self.build | {"is_done": True})
        elif FAILS.match(plain):
            self.write(**self.build | {"is_done": True, "errors": "".join(self.lines)})
        return True


def running_watch():
    """Returns the state of `make watch`; `None` if it does not run."""
    try:
        watched = json.loads(WATCHED.read_text())
        runs = is_open(watched["port"]) and is_open(urlsplit(watched["endpoint"]).port)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return watched if runs else None


def await_build():
    """Waits until `make watch` has built the newest change. Fails with the errors of the compiler."""
    changed = max(os.stat(path).st_mtime for path in sources())
    deadline = time.monotonic() + MAX_DELAY
    while watched := running_watch():
        build = watched["build"]
        if not build:
            return
        if build["since"] < changed and build["is_done"] and time.monotonic() > deadline:
            raise Failed(f"`make watch` has not built the newest change after {MAX_DELAY} s: start it again")
        if build["since"] >= changed and build["is_done"]:
            report_errors()
            return
        time.sleep(0.1)
    raise Failed("`make watch` has ended")


def sources():
    """Returns the files from which cargo builds the function."""
    return [ROOT / "Cargo.toml", ROOT / "Cargo.lock", *(ROOT / "src").rglob("*.rs")]


def report_errors():
    """Fails if `make watch` cannot build the function."""
    watched = running_watch()
    if watched and (errors := watched["build"].get("errors")):
        raise Failed(f"`make watch` cannot build the function:\n{errors.rstrip()}")
