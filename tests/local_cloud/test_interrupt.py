"""Tests Ctrl-C at many times of the longer commands. Each leaves nothing running, and prints no traceback."""

import os
import signal
import subprocess
import sys
import time
import unittest
import uuid
from concurrent.futures import ThreadPoolExecutor

from cloud import isolate, marked

from program import ROOT

NOWHERE = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
# Each program with its environment, and the seconds after which Ctrl-C comes.
PROGRAMS = (
    (["ops/operate.py", "deploy"], NOWHERE, (0.1, 0.4, 0.8, 1.6)),
    (["ops/attach.py"], NOWHERE, (0.1, 0.4, 0.8)),
    (["ops/replay.py", "watch"], {}, (0.1, 0.4, 0.8, 2, 4)),
    (["ops/demo.py"], {}, (0.1, 0.4, 0.8, 2, 4, 8)),
)


class InterruptTest(unittest.TestCase):
    def test_ctrl_c_leaves_nothing_running_and_prints_no_traceback(self):
        isolate()

        def interrupt_each(program, environment, delays):
            for delay in delays:
                self.interrupt(program, environment, delay)

        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(interrupt_each, *each) for each in PROGRAMS]:
                done.result()

    def interrupt(self, program, environment, delay):
        mark = f"MARK={uuid.uuid4()}"
        environment = os.environ | environment | dict([mark.split("=")])
        command = [sys.executable, ROOT / "ops/launch.py", *program]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **output) as process:
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=60)
        self.assertIn(process.returncode, (130, -signal.SIGINT), f"{program} {delay}: {output}")
        self.assertNotIn("Traceback", output, f"{program} {delay}")
        deadline = time.monotonic() + 10
        while marked(mark) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(marked(mark), [])


if __name__ == "__main__":
    unittest.main()
