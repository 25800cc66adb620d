"""Tests replays to a running `make watch`, which builds the function without the features that tests need."""

import os
import signal
import tempfile
import time
import unittest
from pathlib import Path
from urllib.parse import urlsplit

from test_replay import PROGRAM, PUT, call, result_in

import replay
from program import ROOT, is_open, run, spawn, stop


def running():
    """Returns the programs of all processes."""
    return [os.path.realpath(each) for each in Path("/proc").glob("[0-9]*/exe")]


class Watch(unittest.TestCase):
    def test_events_are_replayed_to_a_running_watch(self):
        with tempfile.TemporaryFile("w+") as log:
            watch = spawn([*PROGRAM, "watch"], stdout=log, stderr=log)
            try:
                while not replay.running_watch() and watch.poll() is None:
                    time.sleep(0.1)
                replays = [call("cargo", EVENT=PUT, MODE="local-cloud") for _ in range(2)]
                about = replay.running_watch()
                ports = about["port"], urlsplit(about["endpoint"]).port
                os.killpg(watch.pid, signal.SIGINT)
                watch.wait(30)
            finally:
                stop(watch)
            log.seek(0)
            output = log.read()
        self.assertEqual([code for code, _ in replays], [0, 0], f"{replays}\n{output}")
        (first,), (second,) = (result_in(output)["releases"] for _, output in replays)
        self.assertEqual((first["outcome"], second["outcome"]), ("created", "created"), output)
        self.assertNotEqual(first["jobId"], second["jobId"])
        self.assertIn(first["jobArn"], output)
        self.assertFalse(any(map(is_open, ports)), "left behind")
        self.assertNotIn(str(ROOT / "target/debug/bootstrap"), running())


if __name__ == "__main__":
    run(lambda: not unittest.main(verbosity=2, exit=False).result.wasSuccessful())
