"""Tests `make cloud`: its environment, the commands of README.md on it, and its end."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
import uuid

from cloud import THINGS, marked

import practise
from program import ROOT, run, spawn, stop

PROGRAM = [sys.executable, ROOT / "ops/practise.py"]
UPLOAD = """
import boto3, time
put = {"Bucket": "firmware-releases", "Key": "firmware/blinky-1.2.0.bin", "Body": b"image"}
boto3.client("s3").put_object(**put, Tagging="ota:thing-group=lab%20fleet&ota:start=now")
iot = boto3.client("iot")
for _ in range(300):
    if iot.list_jobs()["jobs"]:
        break
    time.sleep(0.2)
print(iot.list_jobs()["jobs"][0]["jobId"])
"""


def commands(section):
    """Returns the commands in the code blocks of a section of README.md, as one script."""
    text = re.search(rf"^## {section}\n(.*?)^## ", (ROOT / "README.md").read_text(), re.M | re.S)[1]
    return "\n".join(re.findall("^    (.*)$", text, re.M))


class Practise(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mark = f"MARK={uuid.uuid4()}"
        marked_environment = os.environ | dict([cls.mark.split("=")])
        cls.process = spawn(PROGRAM, cwd=ROOT, env=marked_environment, stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.process.stdout.close)
        cls.addClassCleanup(stop, cls.process)
        for line in cls.process.stdout:
            print(line, end="", flush=True)
            if line.startswith("Ctrl-C"):
                return
        raise AssertionError("the local cloud did not start")

    def shell(self, script):
        """Runs a script in a new shell that has sourced the environment; returns its output."""
        script = f". {practise.ENVIRONMENT.relative_to(ROOT)}\nset -euo pipefail\n{script}"
        answer = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(answer.returncode, 0, f"{script}\n{answer.stdout}{answer.stderr}")
        return answer.stdout

    def test_commands_after_the_release_work(self):
        job_id = self.shell(f"'{sys.executable}' -c '{UPLOAD}'").strip()
        self.assertIn(job_id, self.shell("make --no-print-directory logs"))
        if not shutil.which("aws"):
            self.skipTest("the AWS CLI is missing (Debian: awscli)")
        script = commands("After the release").replace("AFR_OTA-blinky-1-2-0-bin-…", job_id)
        output = self.shell(script.replace("--thing-name lab-1 ", f"--thing-name {THINGS[0]} "))
        self.assertIn(f"{job_id}\tIN_PROGRESS", output)
        self.assertEqual(output.count(":thing/fleet-device-"), 10, output)
        report = f"aws iot-jobs-data update-job-execution --job-id {job_id} --thing-name {THINGS[0]} --status"
        self.shell(f"{report} IN_PROGRESS; {report} SUCCEEDED")
        succeeded = f"aws iot list-job-executions-for-job --job-id {job_id} --status SUCCEEDED"
        self.assertIn(f":thing/{THINGS[0]}", self.shell(succeeded))

    def test_a_second_cloud_is_refused(self):
        answer = subprocess.run(PROGRAM, capture_output=True, text=True)
        self.assertEqual(answer.returncode, 1, answer)
        self.assertTrue(answer.stderr.startswith("✗ a local cloud is already running: "), answer.stderr)
        self.assertTrue(practise.ENVIRONMENT.exists())

    def test_the_end_leaves_neither_processes_nor_the_environment(self):
        # After the other tests, by its name.
        self.process.send_signal(signal.SIGINT)
        self.assertEqual(self.process.wait(30), 130)
        self.assertFalse(practise.ENVIRONMENT.exists())
        deadline = time.monotonic() + 10
        while marked(self.mark):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)


def main():
    return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
